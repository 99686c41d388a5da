//! Reads the settings of the exporter.

use std::time::Duration;

use super::keys::METRICS;
use super::node::Node;
use super::read::{Fields, items, scalar};
use super::report::Problems;
use crate::service::CounterSettings;
use crate::stats::nearest_bound;
use crate::telemetry::MetricsSettings;
use crate::text::units;

/// A smaller budget gets a warning: in an earlier version it counted label sets per metric.
const SMALL_BUDGET: usize = 10_000;
/// The maximum number of histogram buckets.
pub const MAX_BUCKETS: usize = 60;
/// The maximum number of a service's gRPC methods with their own series.
pub const MAX_METHODS: u64 = 1000;
/// The range of histogram bounds.
const MIN_BOUND: Duration = Duration::from_micros(10);
const MAX_BOUND: Duration = Duration::from_secs(900);

/// The settings of the exporter.
pub fn settings(fields: &Fields<'_>, problems: &Problems) -> MetricsSettings {
    let mut settings = MetricsSettings::default();
    if let Some((budget, span)) = fields.placed(&METRICS.series_budget) {
        settings.series_budget = budget;
        if budget < SMALL_BUDGET {
            problems.warn(
                span,
                format!("{budget} series are few: all metrics together have no more"),
                "a backend with traffic has about 40; leave the key out for 200000",
            );
        }
    }
    if let Some(node) = fields.get(&METRICS.latency_buckets) {
        settings.latency_buckets = buckets(node, problems);
    }
    fields.set(&METRICS.response_start, &mut settings.response_start);
    settings
}

/// The settings of services' statistics.
pub fn counts(fields: &Fields<'_>) -> CounterSettings {
    let mut counts = CounterSettings::default();
    fields.set(&METRICS.keep_removed, &mut counts.keep_removed);
    fields.set(&METRICS.methods_per_service, &mut counts.methods);
    counts
}

/// Histogram bounds, each replaced by the nearest one that is counted exactly.
fn buckets(node: &Node, problems: &Problems) -> Vec<Duration> {
    let items = items(node, problems);
    if items.len() > MAX_BUCKETS {
        let message = format!("{} buckets are too many", items.len());
        problems.error(node.span, message, format!("write {MAX_BUCKETS} at most"));
    }
    let mut bounds: Vec<Duration> = Vec::new();
    let mut last = Duration::ZERO;
    for item in items {
        let Some(wanted) = scalar(item, problems, bound) else { continue };
        if wanted <= last {
            problems.error(
                item.span,
                "buckets have to ascend",
                "write the smallest first, each once",
            );
            continue;
        }
        last = wanted;
        let nanos = u64::try_from(wanted.as_nanos()).unwrap_or(u64::MAX);
        let exact = Duration::from_nanos(nearest_bound(nanos));
        if exact != wanted {
            let message = format!("{wanted:?} is counted as {exact:?}");
            problems.warn(item.span, message, "up to there counts are exact: write that");
        }
        if bounds.last() != Some(&exact) {
            bounds.push(exact);
        }
    }
    bounds
}

/// Parses a bound: a duration, or a number of seconds as in other configurations.
pub fn bound(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let value = match seconds {
        Some(seconds) => seconds,
        None => units::parse_duration(text)?,
    };
    if (MIN_BOUND..=MAX_BOUND).contains(&value) {
        return Ok(value);
    }
    Err(format!("`{text}` is out of range: write 10us to 900s"))
}
