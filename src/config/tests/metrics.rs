//! Settings of the exporter.

use std::time::Duration;

use super::{MINIMAL, minimal_with, parse, refused};
use crate::config::Plan;
use crate::config::report::Finding;
use crate::telemetry::ResponseStart;

fn with(metrics: &str) -> String {
    let line = MINIMAL.lines().find(|line| line.starts_with("services:")).unwrap();
    minimal_with(line, &format!("metrics: {{ {metrics} }}\n{line}"))
}

fn planned(metrics: &str) -> (Plan, Vec<String>) {
    let plan = parse(&with(metrics), std::path::Path::new("")).unwrap();
    let warnings = plan.warnings.iter().map(Finding::to_string).collect();
    (plan, warnings)
}

#[test]
fn a_budget_from_before_is_taken_with_a_warning() {
    let (plan, warnings) = planned("series_budget: 2000");
    assert_eq!(plan.metrics.settings.series_budget, 2000);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("2000 series are few"), "{warnings:?}");
    assert!(planned("series_budget: 10000").1.is_empty());
}

#[test]
fn buckets_of_others_are_counted_exactly() {
    // Default buckets of OpenTelemetry, Prometheus and Envoy.
    let otel = "0.005, .01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10";
    let prometheus = "5ms, 10ms, 25ms, 50ms, 100ms, 250ms, 500ms, 1s, 2.5, 5s, 10s";
    let envoy = "500us, 1ms, 5ms, 10ms, 25ms, 50ms, 100ms, 250ms, 500ms, 1s, 2500ms, 5s, 10s, 30s, \
                 1m, 5m, 600";
    for (buckets, count) in [(otel, 14), (prometheus, 11), (envoy, 17), ("10us, 900s", 2)] {
        let (plan, warnings) = planned(&format!("latency_buckets: [ {buckets} ]"));
        assert_eq!(plan.metrics.settings.latency_buckets.len(), count, "{buckets}");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
    let (plan, _) = planned(&format!("latency_buckets: [ {otel} ], response_start: backend"));
    assert_eq!(plan.metrics.settings.latency_buckets[4], Duration::from_millis(75));
    assert_eq!(plan.metrics.settings.response_start, ResponseStart::Backend);
}

#[test]
fn an_inexact_bucket_bound_is_rounded_with_a_warning() {
    let (plan, warnings) = planned("latency_buckets: [ 1ms, 0.027, 27500us, 330ms ]");
    let millis = [1.0, 27.5, 325.0].map(|millis| Duration::from_secs_f64(millis / 1e3));
    assert_eq!(plan.metrics.settings.latency_buckets, millis);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("27ms is counted as 27.5ms"), "{warnings:?}");
    assert!(warnings[1].contains("330ms is counted as 325ms"), "{warnings:?}");
}

#[test]
fn wrong_buckets_are_refused() {
    let many: Vec<String> = (1..=61).map(|seconds| format!("{seconds}")).collect();
    for (buckets, says) in [
        ("5ms, 5ms", "have to ascend"),
        ("5ms, 1ms", "have to ascend"),
        ("1us", "write 10us to 900s"),
        ("901", "write 10us to 900s"),
        ("-1", "not a duration"),
        ("NaN", "not a duration"),
        ("1e300", "not a duration"),
        ("soon", "not a duration"),
        (&many.join(", "), "61 buckets are too many"),
    ] {
        let text = with(&format!("latency_buckets: [ {buckets} ]"));
        let line = text.lines().position(|line| line.starts_with("metrics:")).unwrap() + 1;
        let report = parse(&text, std::path::Path::new("")).unwrap_err();
        let errors: Vec<String> = report.errors().iter().map(Finding::to_string).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].starts_with(&format!("{line}:")) && errors[0].contains(says),
            "{errors:?}"
        );
    }
    let line = with("response_start: route").lines().position(|l| l.starts_with("metrics:"));
    let place = format!("{}:28", line.unwrap() + 1);
    refused(&with("response_start: route"), &place, &["service, backend, off"]);
}

#[test]
fn statistics_of_services_are_bounded() {
    let counts = |metrics: &str| planned(metrics).0.metrics.counts;
    let by_default = counts("");
    assert_eq!((by_default.keep_removed, by_default.methods), (Duration::from_secs(300), 256));
    let none = counts("keep_removed: 0s, methods_per_service: 0");
    assert_eq!((none.keep_removed, none.methods), (Duration::ZERO, 0));
    for (key, says) in [("keep_removed: 61m", "1h"), ("methods_per_service: 1001", "1000")] {
        let line = with(key).lines().position(|l| l.starts_with("metrics:"));
        let value = "metrics: { ".len() + key.find(": ").unwrap() + ": ".len();
        let place = format!("{}:{}", line.unwrap() + 1, value + 1);
        refused(&with(key), &place, &[says]);
    }
}
