//! `ctl backends --since`: statistics since a revision, to judge a change.

use super::backends::shown_address;
use super::shown_state;
use super::table::{Column, Table, wrap};
use crate::control::proto::{Backend, Service, Since};

const COLUMNS: [Column; 5] = [
    Column::left("BACKEND", 0),
    Column::left("STATE", 2),
    Column::right("WEIGHT", 3),
    Column::right("REQUESTS", 1),
    Column::right("FAILURES", 0),
];

/// The table as text.
pub(super) fn text(service: &Service, width: usize) -> String {
    let Service { name, policy, revision, backends, .. } = service;
    let (mut requests, mut failures, mut first) = (0, 0, *revision);
    for counted in backends.iter().filter_map(|backend| backend.since.as_ref()) {
        requests += counted.requests;
        failures += counted.failures;
        first = counted.revision;
    }
    let mut table = Table::new(COLUMNS);
    backends.iter().for_each(|backend| table.row(row(backend)));
    let [requests, failures] = [requests, failures].map(|sum: u64| sum.to_string());
    table.row(["total".into(), String::new(), String::new(), requests, failures]);
    // Codes vary in length, so they are not a column but come last.
    let codes = backends.iter().map(codes).chain([String::new()]);
    let codes: Vec<String> = std::iter::once("CODES".into()).chain(codes).collect();
    let title = format!("{name}: {policy}, revision {revision}; counted since revision {first}");
    let lines = with_codes(&table.lines(width), &codes, width);
    format!("{}{lines}", wrap(&title, width, 2))
}

/// Appends the codes to their rows or, if any is too long for that, lists them below.
fn with_codes(rows: &[String], codes: &[String], width: usize) -> String {
    let beside = |(row, codes): (&String, &String)| format!("{row}  {codes}");
    let lines = rows.iter().zip(codes).map(beside);
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    if lines.iter().all(|line| line.lines().all(|line| line.chars().count() <= width)) {
        return lines.iter().map(|line| format!("{line}\n")).collect();
    }
    let below = |(row, codes): (&String, &String)| match &**codes {
        "" => format!("{row}\n"),
        codes => format!("{row}\n{}", wrap(&format!("    {codes}"), width, 6)),
    };
    rows.iter().zip(codes).map(below).collect()
}

fn row(backend: &Backend) -> [String; COLUMNS.len()] {
    let Since { requests, failures, .. } = backend.since.clone().unwrap_or_default();
    [
        shown_address(backend),
        shown_state(backend.state(), backend.ramp).into(),
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
