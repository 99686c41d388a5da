//! Reads `metrics`: where they are served, to whom, and what is exported.

use std::sync::Arc;
use std::time::Duration;

use super::files::Files;
use super::keys::METRICS;
use super::listener::mode_of;
use super::node::Node;
use super::plan::MetricsPlan;
use super::read::{Fields, items, scalar};
use super::report::{Problems, Span};
use super::{server_tls, tokens};
use crate::access::Access;
use crate::model::SocketAddress;
use crate::net::ServerTls;
use crate::service::CounterSettings;
use crate::stats::nearest_bound;
use crate::telemetry::{AllowedHosts, EntranceSettings, MetricsSettings};
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

/// Reads `metrics`; also returns who may ask, and the location of the address.
pub fn read(
    node: &Node,
    files: &Files,
    problems: &Problems,
) -> (MetricsPlan, EntranceSettings, Span) {
    let mut plan = MetricsPlan::default();
    let fields = Fields::of(node, &METRICS, problems);
    let at = fields.placed(&METRICS.address).unwrap_or((plan.address, node.span));
    plan.mode = mode_of(&fields, &METRICS.mode, Some(&at), problems);
    plan.settings = settings(&fields, problems);
    plan.counts = counts(&fields);
    let tls_at = fields.get(&METRICS.tls);
    let tls = tls_at.and_then(|node| server_tls::server(node, files, problems));
    let tokens = fields.placed(&METRICS.tokens);
    let (address, span) = at;
    if let (Some((_, at)), None, SocketAddress::Ip(ip)) = (&tokens, tls_at, &address)
        && !ip.ip().to_canonical().is_loopback()
    {
        let message = format!("metrics on {ip} take tokens in clear text: others could read them");
        let help = "add `tls: { cert: …, key: … }`, or listen on loopback";
        problems.error(*at, message, help);
    }
    let access = tokens.map(|(name, span)| Access {
        rules: Vec::new(),
        tokens: tokens::read(&name, span, files, problems),
        open_loopback: false,
    });
    let entrance = EntranceSettings {
        hosts: AllowedHosts(fields.list(&METRICS.hosts).into_iter().collect()),
        asks_clients: tls.as_ref().is_some_and(ServerTls::asks_clients),
        tls: tls.map(|tls| Arc::clone(tls.config())),
        access,
    };
    fields.finish();
    plan.address = address;
    (plan, entrance, span)
}

/// The settings of the exporter.
fn settings(fields: &Fields<'_>, problems: &Problems) -> MetricsSettings {
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
fn counts(fields: &Fields<'_>) -> CounterSettings {
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
