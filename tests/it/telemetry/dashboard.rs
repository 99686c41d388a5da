//! The dashboard speaks of the metrics that there are, and of all of them.

use std::collections::BTreeSet;

use equipoise::telemetry::names::{Kind, METRICS};
use serde_json::Value;

fn dashboard() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/grafana/dashboard.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

fn expressions(dashboard: &Value) -> Vec<&str> {
    let targets = panels(dashboard).iter().filter_map(|panel| panel["targets"].as_array());
    targets.flatten().map(|target| target["expr"].as_str().unwrap()).collect()
}

/// The families that a query names.
fn families(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("equipoise_") || word.starts_with("process_"));
    ours.map(|word| {
        let histograms = METRICS.iter().filter(|metric| metric.kind == Kind::Histogram);
        let mut histograms = histograms.map(|metric| metric.name);
        let family = histograms
            .find(|name| matches!(word.strip_prefix(name), Some("_bucket" | "_sum" | "_count")));
        family.unwrap_or(word)
    })
}

#[test]
fn every_metric_has_a_panel_and_every_panel_its_metrics() {
    let dashboard = dashboard();
    let shown: BTreeSet<&str> = expressions(&dashboard).into_iter().flat_map(families).collect();
    let exported: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(shown, exported);
}

#[test]
fn every_panel_can_be_moved_to_another_prometheus() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
            assert!(panel["description"].is_string(), "{title}");
        }
    }
}
