//! `ctl backends`: a table of backends with human-readable units; `-` where there is no data.

use std::collections::BTreeMap;

use super::session::Session;
use super::table::{Column, Table, wrap};
use super::unavailable::{self, whole};
use super::{Error, json, overrides, share, shown_state, since, streams};
use crate::cli::text::{latency, or_dash};
use crate::control::proto::{Backend, Service};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service; all without it
    service: Option<String>,
    /// Show how requests ended since this revision began; the last 16 are remembered
    #[arg(long, value_name = "REV", requires = "service")]
    since: Option<u64>,
}

/// Ranked so that the columns needed during a drain or an incident are dropped last.
const COLUMNS: [Column; 13] = [
    Column::left("BACKEND", 0),
    Column::left("STATE", 1),
    Column::right("WEIGHT", 2),
    Column::right("SHARE", 4),
    Column::right("SUCCESS", 5),
    Column::right("P50", 7),
    Column::right("P90", 9),
    Column::right("P99", 6),
    Column::right("P99.9", 10),
    Column::right("IN FLIGHT", 3),
    Column::right("REQUESTS", 8),
    Column::right("FOR", 11),
    Column::left("REASON", 12),
];

impl Args {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        if let (Some(service), since @ Some(_)) = (&self.service, self.since) {
            let service = session.client.get(service.clone(), since).await?;
            let programs = || json::backends(std::slice::from_ref(&service));
            return session.print(|width| since::text(&service, width), programs);
        }
        let services = all(session, self.service).await?;
        session.print(|width| text(&services, width), || json::backends(&services))
    }
}

async fn all(session: &Session<'_>, one: Option<String>) -> Result<Vec<Service>, Error> {
    if let Some(service) = one {
        return Ok(vec![session.client.get(service, None).await?]);
    }
    let mut services = Vec::new();
    for summary in session.client.list().await? {
        services.push(session.client.get(summary.name, None).await?);
    }
    Ok(services)
}

pub(super) fn text(services: &[Service], width: usize) -> String {
    if services.is_empty() {
        return "The gateway has no services.\n".into();
    }
    let tables: Vec<_> = services.iter().map(|one| service(one, width)).collect();
    tables.join("\n")
}

fn service(service: &Service, width: usize) -> String {
    let Service { name, policy, revision, generation, backends, .. } = service;
    let recent = backends.iter().map(|b| b.recent_requests).sum();
    let mut table = Table::new(COLUMNS);
    backends.iter().for_each(|backend| table.row(row(backend, recent)));
    table.row(total(backends));
    let title = format!(
        "{name}: {policy}, revision {revision}, generation {generation}; shares, success, latency of 30 s"
    );
    let calls = format!("{}{}", wrap(&title, width, 2), table.fit(width));
    let rejected = rejected(service).map(|text| wrap(&text, width, 2));
    let out = unavailable::text(service, width);
    let calls = calls + &out.unwrap_or_default() + &rejected.unwrap_or_default();
    let parts =
        [Some(calls), streams::text(name, backends, width), overrides::text(service, width)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// Rejected requests by reason, if there are any.
fn rejected(service: &Service) -> Option<String> {
    let mut by_reason = BTreeMap::<&str, u64>::new();
    for rejection in &service.rejections {
        *by_reason.entry(&rejection.reason).or_default() += rejection.count;
    }
    let reasons = by_reason.iter().map(|(reason, count)| format!("{reason} {count}"));
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    let (total, recent) = (by_reason.values().sum::<u64>(), service.recent_rejected);
    let text =
        || format!("answered by no backend: {recent} in the last 30 s, {total} in all ({reasons})");
    (total > 0).then(text)
}

fn row(backend: &Backend, recent: u64) -> [String; COLUMNS.len()] {
    let weight = if backend.effective_weight == backend.weight {
        backend.weight.to_string()
    } else {
        format!("{} (set {})", backend.effective_weight, backend.weight)
    };
    [
        shown_address(backend),
        shown_state(backend.state(), backend.ramp).into(),
        weight,
        or_dash(share(backend.recent_requests, recent), |s| format!("{:.1} %", s * 100.0)),
        or_dash(backend.success_ratio, success),
        or_dash(backend.p50_seconds, latency),
        or_dash(backend.p90_seconds, latency),
        or_dash(backend.p99_seconds, latency),
        or_dash(backend.p999_seconds, latency),
        backend.in_flight.to_string(),
        backend.requests.to_string(),
        or_dash(backend.state_seconds, whole),
        backend.state_reason.clone(),
    ]
}

fn total(backends: &[Backend]) -> [String; COLUMNS.len()] {
    let mut row = <[String; COLUMNS.len()]>::default();
    let [first, .., in_flight, requests, _, _] = &mut row;
    *first = "total".into();
    *in_flight = backends.iter().map(|b| u64::from(b.in_flight)).sum::<u64>().to_string();
    *requests = backends.iter().map(|b| b.requests).sum::<u64>().to_string();
    row
}

/// The address, and where that is if it is a name.
pub(super) fn shown_address(backend: &Backend) -> String {
    match backend.resolved_address.rsplit_once(':') {
        Some((host, _)) => format!("{} at {host}", backend.address),
        None => backend.address.clone(),
    }
}

/// Rounded down: one failure in a million is not 100 %.
pub(super) fn success(ratio: f64) -> String {
    let hundredths = (ratio * 1e4 + 1e-6).floor();
    format!("{:.2} %", hundredths / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_rounded_down() {
        assert_eq!(success(1.0), "100.00 %");
        assert_eq!(success(0.999_999), "99.99 %");
        assert_eq!(success(0.9995), "99.95 %");
        assert_eq!(success(0.0), "0.00 %");
    }
}
