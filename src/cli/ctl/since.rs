//! `ctl backends --since`: what came of a change, counted from its revision on.

use super::state_name;
use crate::cli::text::align;
use crate::control::proto::{Backend, Service, Since};

const TITLES: [&str; 5] = ["BACKEND", "STATE", "WEIGHT", "REQUESTS", "FAILURES"];

/// The table for people.
pub(super) fn text(service: &Service) -> String {
    let Service { name, policy, revision, backends } = service;
    let (mut requests, mut failures, mut first) = (0, 0, *revision);
    for counted in backends.iter().filter_map(|backend| backend.since.as_ref()) {
        requests += counted.requests;
        failures += counted.failures;
        first = counted.revision;
    }
    let mut rows = vec![TITLES.map(String::from)];
    rows.extend(backends.iter().map(row));
    let [requests, failures] = [requests, failures].map(|sum: u64| sum.to_string());
    rows.push(["total".into(), String::new(), String::new(), requests, failures]);
    // The codes are no column: what is long is at the end, and begins where it is looked for.
    let codes = backends.iter().map(codes).chain([String::new()]);
    let codes = std::iter::once("CODES".into()).chain(codes);
    let lines = align(&rows, 2);
    let lines = lines.lines().zip(codes).map(|(line, codes)| format!("{line}  {codes}"));
    let lines: String = lines.map(|line| format!("{}\n", line.trim_end())).collect();
    format!("{name}: {policy}, revision {revision}; counted since revision {first}\n{lines}")
}

fn row(backend: &Backend) -> [String; TITLES.len()] {
    let Since { requests, failures, .. } = backend.since.clone().unwrap_or_default();
    [
        backend.address.clone(),
        state_name(backend.state()).into(),
        backend.effective_weight.to_string(),
        requests.to_string(),
        failures.to_string(),
    ]
}

fn codes(backend: &Backend) -> String {
    let codes = backend.since.iter().flat_map(|since| &since.codes);
    let codes: Vec<String> = codes.map(|c| format!("{}: {}", c.code, c.count)).collect();
    if codes.is_empty() { "-".into() } else { codes.join(", ") }
}
