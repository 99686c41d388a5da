//! One page in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;

use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::names::{Kind, METRICS, Metric};
use crate::model::{BOUNDS, Counts};

/// Bounds outside of 100 us ..= 100 s are not exported. All others are, 12 % apart, of either
/// histogram: with fewer for one, a head's quantile could be shown above its whole response's.
const EXPORTED: std::ops::RangeInclusive<u64> = 100_000..=100_000_000_000;

static METADATA: Metadata<'static> = Metadata::new("equipoise", Level::INFO, None);

/// What one scrape sees, while it is being collected.
///
/// Its recorder lives as long as the page: a recorder cannot drop single series, so one that
/// outlived the scrape would show backends for ever that the configuration no longer has.
pub(super) struct Page {
    recorder: PrometheusRecorder,
    /// Families that `metrics` cannot express, by name: histograms that are already counted, and
    /// counters that are not whole numbers.
    families: BTreeMap<&'static str, String>,
}

impl Page {
    pub(super) fn new() -> Page {
        let recorder = PrometheusBuilder::new().build_recorder();
        for metric in METRICS {
            match metric.kind {
                Kind::Counter => {
                    recorder.describe_counter(metric.name.into(), None, metric.help.into());
                }
                Kind::Gauge => {
                    recorder.describe_gauge(metric.name.into(), None, metric.help.into());
                }
                Kind::Histogram => {} // written here
            }
        }
        Page { recorder, families: BTreeMap::new() }
    }

    /// Adds a counter; `labels` are the values for `metric.labels`.
    pub(super) fn counter(&self, metric: &Metric, labels: &[&str], value: u64) {
        let counter = self.recorder.register_counter(&key(metric, labels), &METADATA);
        counter.absolute(value);
    }

    /// Adds a gauge; `labels` are the values for `metric.labels`.
    pub(super) fn gauge(&self, metric: &Metric, labels: &[&str], value: impl Into<f64>) {
        let gauge = self.recorder.register_gauge(&key(metric, labels), &METADATA);
        gauge.set(value.into());
    }

    /// Adds a counter without labels that is not a whole number.
    pub(super) fn fractional_counter(&mut self, metric: &Metric, value: f64) {
        let line = format!("{} {value}\n", metric.name);
        self.family(metric).push_str(&line);
    }

    /// Adds a histogram with the bounds that `counts` has, so every number in it is exact.
    pub(super) fn histogram(&mut self, metric: &Metric, labels: &[&str], counts: &Counts) {
        let name = metric.name;
        let labels = label_pairs(metric, labels);
        let mut text = String::new();
        let mut total = 0;
        for (i, count) in counts.buckets().enumerate() {
            total += count;
            if let Some(bound) = BOUNDS.get(i).filter(|b| EXPORTED.contains(b)) {
                let le = seconds(*bound);
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{le}\"}} {total}");
            }
        }
        let sum = seconds(counts.sum);
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {total}");
        let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}");
        let _ = writeln!(text, "{name}_count{{{labels}}} {total}");
        self.family(metric).push_str(&text);
    }

    /// The page's text, families and series in order, so that people find their way and can
    /// compare two pages.
    pub(super) fn finish(self) -> String {
        let recorded = self.recorder.handle().render();
        let recorded = recorded.split_terminator("\n\n").map(in_order);
        let mut families: Vec<String> = recorded.chain(self.families.into_values()).collect();
        families.sort_unstable();
        families.concat()
    }

    fn family(&mut self, metric: &Metric) -> &mut String {
        let Metric { name, kind, help, .. } = metric;
        self.families.entry(name).or_insert_with(|| {
            let kind = kind.name();
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")
        })
    }
}

/// Sorts the series of a family below its two lines of comment.
fn in_order(family: &str) -> String {
    let mut lines: Vec<&str> = family.split('\n').collect();
    if let Some(series) = lines.get_mut(2..) {
        series.sort_unstable();
    }
    lines.join("\n") + "\n"
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn key(metric: &Metric, labels: &[&str]) -> Key {
    debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
    let labels = metric.labels.iter().zip(labels);
    let labels = labels.map(|(name, value)| Label::new(*name, quotable(value)));
    Key::from_parts(metric.name, labels.collect::<Vec<_>>())
}

fn label_pairs(metric: &Metric, labels: &[&str]) -> String {
    debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
    let labels = metric.labels.iter().zip(labels);
    let pairs = labels.map(|(name, value)| {
        let value = quotable(value).replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    });
    pairs.collect::<Vec<_>>().join(",")
}

/// Escapes backslashes and quotes. The exporter leaves them alone where it finds them escaped,
/// but alters values in which a bare backslash comes before either of them or a line feed; bare
/// line feeds it escapes itself.
fn quotable(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"")
}
