//! What people read: aligned columns, human units, `-` where there is no data.

use super::{share, state_name, streams};
use crate::cli::text::{align, latency, or_dash};
use crate::control::proto::{Backend, Service, ServiceSummary};

const TITLES: [&str; 11] = [
    "BACKEND",
    "STATE",
    "WEIGHT",
    "SHARE",
    "SUCCESS",
    "P50",
    "P90",
    "P99",
    "P99.9",
    "IN FLIGHT",
    "REQUESTS",
];

pub(super) fn services(services: &[ServiceSummary]) -> String {
    if services.is_empty() {
        return "The gateway has no services.\n".into();
    }
    let mut rows = vec![
        ["SERVICE", "POLICY", "REVISION", "BACKENDS", "ELIGIBLE", "DRAINING"].map(String::from),
    ];
    rows.extend(services.iter().map(|s| {
        [
            s.name.clone(),
            s.policy.clone(),
            s.revision.to_string(),
            s.backends.to_string(),
            s.eligible_backends.to_string(),
            s.draining_backends.to_string(),
        ]
    }));
    align(&rows, 2)
}

pub(super) fn backends(services: &[Service]) -> String {
    if services.is_empty() {
        return "The gateway has no services.\n".into();
    }
    let tables: Vec<_> = services.iter().map(service).collect();
    tables.join("\n")
}

fn service(service: &Service) -> String {
    let Service { name, policy, revision, backends } = service;
    let recent = backends.iter().map(|b| b.recent_requests).sum();
    let mut rows = vec![TITLES.map(String::from)];
    rows.extend(backends.iter().map(|backend| row(backend, recent)));
    rows.push(total(backends));
    let calls = format!(
        "{name}: {policy}, revision {revision}; shares, success and latency of the last 30 s\n{}",
        align(&rows, 2)
    );
    match streams::table(name, backends) {
        Some(streams) => format!("{calls}\n{streams}"),
        None => calls,
    }
}

fn row(backend: &Backend, recent: u64) -> [String; TITLES.len()] {
    let weight = if backend.effective_weight == backend.weight {
        backend.weight.to_string()
    } else {
        format!("{} (set {})", backend.effective_weight, backend.weight)
    };
    [
        backend.address.clone(),
        state_name(backend.state()).into(),
        weight,
        or_dash(share(backend.recent_requests, recent), |s| format!("{:.1} %", s * 100.0)),
        or_dash(backend.success_ratio, success),
        or_dash(backend.p50_seconds, latency),
        or_dash(backend.p90_seconds, latency),
        or_dash(backend.p99_seconds, latency),
        or_dash(backend.p999_seconds, latency),
        backend.in_flight.to_string(),
        backend.requests.to_string(),
    ]
}

fn total(backends: &[Backend]) -> [String; TITLES.len()] {
    let mut row = <[String; TITLES.len()]>::default();
    let [first, .., in_flight, requests] = &mut row;
    *first = "total".into();
    *in_flight = backends.iter().map(|b| u64::from(b.in_flight)).sum::<u64>().to_string();
    *requests = backends.iter().map(|b| b.requests).sum::<u64>().to_string();
    row
}

/// Rounded down: one failure in a million is not 100 %.
fn success(ratio: f64) -> String {
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
