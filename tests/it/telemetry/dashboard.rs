//! The dashboard and the rules speak of the metrics that there are, and of all of them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use equipoise::model::{
    Class, Code, ConnectionRefusal, GRPC_CODES, MirrorOutcome, RejectReason, RetryResult,
};
use equipoise::telemetry::names::{METRICS, MetricKind};
use equipoise::telemetry::{CloseReason, Side};
use serde_json::Value;

/// Metrics that no panel shows, each with its reason.
const UNSHOWN: &[(&str, &str)] = &[
    ("equipoise_accepted_total", "the panels of requests show them by service"),
    ("equipoise_outcomes_total", "the panels of success show them by service"),
    (
        "equipoise_unimplemented_retries_total",
        "few even in a rolling upgrade, and no client is the worse",
    ),
    ("equipoise_open_exchanges", "in flight and open streams are shown by backend"),
];

/// Where the pictures are.
pub fn folder() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/grafana").into()
}

pub fn dashboard() -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("dashboard.json")).unwrap())
        .unwrap()
}

/// The texts of the rules, and not of their tests.
pub fn rules() -> String {
    let files = ["rules/recording.yml", "rules/alerts.yml"].iter();
    files.map(|file| std::fs::read_to_string(folder().join(file)).unwrap()).collect()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

/// Each query, with the title of its panel.
pub fn queries(dashboard: &Value) -> Vec<(&str, &str)> {
    let mut queries = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push((panel["title"].as_str().unwrap(), target["expr"].as_str().unwrap()));
        }
    }
    queries
}

/// The families that a text names; what rules record has a colon and is none.
fn families(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let ours = words.filter(|word| word.starts_with("equipoise_") || word.starts_with("process_"));
    ours.map(|word| {
        let histograms = METRICS.iter().filter(|metric| metric.kind == MetricKind::Histogram);
        let mut histograms = histograms.map(|metric| metric.name);
        let family = histograms
            .find(|name| matches!(word.strip_prefix(name), Some("_bucket" | "_sum" | "_count")));
        family.unwrap_or(word)
    })
    .collect()
}

/// What rules record, as a text names it.
fn recorded(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| word.contains(":equipoise_")).collect()
}

#[test]
fn every_metric_has_a_panel_or_a_reason_and_every_panel_its_metrics() {
    let dashboard = dashboard();
    let queries = queries(&dashboard);
    let shown: BTreeSet<&str> = queries.iter().flat_map(|(_, query)| families(query)).collect();
    let unshown: BTreeSet<&str> = UNSHOWN.iter().map(|(name, _)| *name).collect();
    assert_eq!(shown.intersection(&unshown).next(), None, "shown without need of a reason");
    let told: BTreeSet<&str> = shown.union(&unshown).copied().collect();
    let exported: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(told, exported);
}

#[test]
fn the_rules_name_what_is_exported_or_recorded() {
    let rules = rules();
    let named = families(&rules);
    let exported: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let unknown: Vec<_> = named.difference(&exported).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let records = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    assert_eq!(recorded(&rules), records);
    let used = |name: &&str| rules.matches(&**name).count() > 1;
    assert!(records.iter().all(used), "{:?}", records.iter().find(|name| !used(name)));
}

/// The values that texts ask of this label, by name or by alternatives.
fn asked<'a>(text: &'a str, label: &str) -> BTreeSet<&'a str> {
    let text = text.split(['{', ',']);
    let matchers = text.filter_map(|matcher| matcher.strip_prefix(label));
    let values = matchers.filter_map(|rest| {
        let value = rest.trim_start_matches(['=', '!', '~']);
        value.strip_prefix('"')?.split('"').next()
    });
    values.flat_map(|value| value.split('|')).collect()
}

#[test]
fn label_values_that_are_asked_for_exist() {
    let dashboard = dashboard();
    let queries: String =
        queries(&dashboard).iter().map(|(_, query)| format!("{query}\n")).collect();
    let text = queries + &rules();
    let reasons = CloseReason::ALL.iter().map(|reason| reason.name());
    let reasons: BTreeSet<&str> = reasons
        .chain(RejectReason::ALL.iter().map(|reason| reason.name()))
        .chain(ConnectionRefusal::ALL.map(ConnectionRefusal::name))
        .collect();
    let sides: BTreeSet<&str> = Side::ALL.iter().map(|side| side.name()).collect();
    assert!(asked(&text, "reason").is_subset(&reasons), "{:?}", asked(&text, "reason"));
    assert_eq!(asked(&text, "side"), sides);
    let reloads = ["success", "error"];
    let results: BTreeSet<&str> = (MirrorOutcome::ALL.iter().map(|copied| copied.name()))
        .chain(RetryResult::ALL.iter().map(|retried| retried.name()))
        .chain(reloads)
        .collect();
    assert!(asked(&text, "result").is_subset(&results), "{:?}", asked(&text, "result"));

    let of = |class: Class| {
        let codes = GRPC_CODES.iter().filter(move |code| Code::Grpc(**code).class() == class);
        codes.map(|code| code.name())
    };
    assert_eq!(Code::Http(500).class(), Class::Failure);
    let failures: BTreeSet<&str> = of(Class::Failure).chain(["5.."]).collect();
    let cancelled: BTreeSet<&str> = of(Class::Cancelled).chain(["499"]).collect();
    assert_eq!(asked(&text, "code"), failures.union(&cancelled).copied().collect());
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
        }
        for target in panel["targets"].as_array().unwrap_or(&Vec::new()) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let (sources, others): (Vec<_>, Vec<_>) = variables.partition(|v| v["type"] == "datasource");
    assert_eq!((sources.len(), &sources[0]["name"]), (1, &Value::from("datasource")));
    assert!(others.iter().all(|variable| variable["datasource"]["uid"] == "${datasource}"));
}

#[test]
fn every_panel_says_what_it_shows() {
    for panel in panels(&dashboard()).iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.ends_with('.'), "{title}: {description:?}");
        let defaults = &panel["fieldConfig"]["defaults"];
        let units = ["reqps", "percentunit", "s", "short", "cps", "bytes"];
        assert!(
            units.iter().any(|unit| defaults["unit"] == *unit),
            "{title}: {}",
            defaults["unit"]
        );
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            assert!(!legend.is_empty(), "{title}");
            let one = panel["type"] == "stat" || targets.len() == 1;
            let words = legend.split(' ').filter(|word| !word.starts_with("{{")).count();
            assert!(one || words > 0, "{title}: {legend} may be either of several");
        }
        let (share, latency) = (defaults["unit"] == "percentunit", defaults["unit"] == "s");
        let query = targets[0]["expr"].as_str().unwrap();
        assert!(!latency || query.contains("seconds"), "{title}");
        assert!(!share || query.contains('/') || query.contains("_ratio"), "{title}");
    }
}

#[test]
fn panels_lie_side_by_side() {
    let dashboard = dashboard();
    let number = |panel: &Value, key: &str| panel["gridPos"][key].as_u64().unwrap();
    let mut taken = BTreeSet::new();
    let mut bottom = 0;
    for panel in panels(&dashboard) {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| number(panel, key));
        assert!(x + w <= 24 && w > 0 && h > 0, "{}", panel["title"]);
        for cell in (y..y + h).flat_map(|y| (x..x + w).map(move |x| (x, y))) {
            assert!(taken.insert(cell), "{} overlaps at {cell:?}", panel["title"]);
        }
        assert!(panel["type"] != "row" || (w, h) == (24, 1), "{}", panel["title"]);
        bottom = bottom.max(y + h);
    }
    assert_eq!(taken.len() as u64, 24 * bottom, "there are holes");
}
