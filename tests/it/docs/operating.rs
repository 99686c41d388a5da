//! The operators' page lists exactly the existing metrics and reasons.

use std::collections::BTreeSet;

use equipoise::model::RejectReason;
use equipoise::telemetry::CloseReason;
use equipoise::telemetry::names::METRICS;

use super::{named, page, root, rows};

/// The first column of the tables where it is titled `title`.
fn told(title: &str) -> BTreeSet<String> {
    let page = page("operating.md");
    let rows = rows(&page, title);
    let told: BTreeSet<_> = rows.iter().map(|row| named(row, title).to_owned()).collect();
    assert_eq!(told.len(), rows.len(), "{title}: one is there twice");
    told
}

fn all<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    names.map(str::to_owned).collect()
}

#[test]
fn its_metrics_are_those_that_are_exported() {
    assert_eq!(told("metric"), all(METRICS.iter().map(|metric| metric.name)));
}

#[test]
fn its_reasons_are_those_that_are_counted() {
    assert_eq!(told("rejected"), all(RejectReason::ALL.iter().map(|reason| reason.name())));
    assert_eq!(told("closed"), all(CloseReason::ALL.iter().map(|reason| reason.name())));
}

#[test]
fn its_alerts_are_those_of_the_rules() {
    let rules = std::fs::read_to_string(root().join("grafana/rules/alerts.yml")).unwrap();
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    assert_eq!(told("alert"), all(alerts));
}
