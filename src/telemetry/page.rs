//! The Prometheus exposition: one page of metrics, in the text or the protobuf format.

mod native;
mod protobuf;
mod text;
mod wire;

use foldhash::{HashMap, HashMapExt as _};
use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::encoding::Format;
use super::names::{METRICS, Metric, MetricKind};
use super::settings::MetricsSettings;
use crate::stats::HistogramCounts;

static METADATA: Metadata<'static> = Metadata::new("equipoise", Level::INFO, None);

/// A page while it is being built at a scrape.
pub(super) struct Page {
    format: Format,
    /// Metrics of the process, for the text format. It lives as long as the page: a recorder cannot
    /// drop single series, so a longer-lived one would export removed series for ever.
    recorder: PrometheusRecorder,
    /// The families of services and backends, by name, rendered straight to bytes: they are the
    /// bulk, and a registry of them would cost more than the rest of the scrape.
    families: HashMap<&'static str, Family>,
    bounds: Vec<Bound>,
    series: usize,
}

/// A metric family, rendered as far as collected.
struct Family {
    metric: Metric,
    body: Vec<u8>,
}

/// An upper bound of histogram buckets (`le`).
struct Bound {
    nanos: u64,
    seconds: String,
}

/// The value of a series.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
}

/// Rendered labels that several series share.
pub(super) struct Labels {
    written: Vec<u8>,
    count: usize,
}

impl Page {
    pub(super) fn new(settings: &MetricsSettings, format: Format) -> Page {
        let recorder = PrometheusBuilder::new().build_recorder();
        for Metric { name, kind, help, .. } in METRICS {
            match kind {
                MetricKind::Counter => {
                    recorder.describe_counter((*name).into(), None, (*help).into())
                }
                MetricKind::Gauge => recorder.describe_gauge((*name).into(), None, (*help).into()),
                MetricKind::Histogram => {} // rendered here
            }
        }
        let bounds = settings.latency_buckets.iter().map(|bound| Bound {
            nanos: u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX),
            seconds: bound.as_secs_f64().to_string(),
        });
        let (families, bounds) = (HashMap::new(), bounds.collect());
        Page { format, recorder, families, bounds, series: 0 }
    }

    /// The number of series.
    pub(super) fn series(&self) -> usize {
        self.series
    }

    /// Adds a counter of the process; `labels` are the values of `metric.labels`.
    pub(super) fn counter(&mut self, metric: &Metric, labels: &[&str], value: u64) {
        if self.format == Format::Protobuf {
            let labels = self.labels(metric, labels);
            return self.number(metric, &labels, &[], Value::Whole(value));
        }
        self.series += 1;
        let counter = self.recorder.register_counter(&key(metric, labels), &METADATA);
        counter.absolute(value);
    }

    /// Adds a gauge of the process; `labels` are the values of `metric.labels`.
    pub(super) fn gauge(&mut self, metric: &Metric, labels: &[&str], value: impl Into<f64>) {
        let value = value.into();
        if self.format == Format::Protobuf {
            let labels = self.labels(metric, labels);
            return self.number(metric, &labels, &[], Value::Real(value));
        }
        self.series += 1;
        self.recorder.register_gauge(&key(metric, labels), &METADATA).set(value);
    }

    /// Adds a fractional counter of the process, without labels.
    pub(super) fn fractional_counter(&mut self, metric: &Metric, value: f64) {
        let none = self.labels(metric, &[]);
        self.number(metric, &none, &[], Value::Real(value));
    }

    /// Renders values for the first of `metric.labels`; other metrics with the same first labels
    /// share them.
    pub(super) fn labels(&self, metric: &Metric, values: &[&str]) -> Labels {
        let mut written = Vec::new();
        for (name, value) in metric.labels.iter().zip(values) {
            match self.format {
                Format::Text => text::label(&mut written, name, value),
                Format::Protobuf => protobuf::label(&mut written, name, value),
            }
        }
        Labels { written, count: values.len() }
    }

    /// Adds a series; `more` are the values of the labels that `labels` lacks.
    pub(super) fn number(&mut self, metric: &Metric, labels: &Labels, more: &[&str], value: Value) {
        debug_assert_eq!(labels.count + more.len(), metric.labels.len(), "{}", metric.name);
        self.series += 1;
        let names = metric.labels.get(labels.count..).unwrap_or_default();
        let more = names.iter().copied().zip(more.iter().copied());
        let (format, body) = (self.format, self.body(metric));
        match format {
            Format::Text => text::number(body, metric.name, labels, more, value),
            Format::Protobuf => protobuf::number(body, metric.kind, labels, more, value),
        }
    }

    /// Adds a histogram with the configured bounds.
    pub(super) fn histogram(&mut self, metric: &Metric, labels: &Labels, counts: &HistogramCounts) {
        debug_assert_eq!(labels.count, metric.labels.len(), "{}", metric.name);
        self.series += histogram_series(self.bounds.len());
        let bounds = std::mem::take(&mut self.bounds);
        let (format, body) = (self.format, self.body(metric));
        match format {
            Format::Text => text::histogram(body, metric.name, labels, &bounds, counts),
            Format::Protobuf => protobuf::histogram(body, labels, &bounds, counts),
        }
        self.bounds = bounds;
    }

    /// Adds a histogram of small whole numbers: `counts` of 1, 2 and so on, the last one of more too.
    pub(super) fn small_histogram(&mut self, metric: &Metric, labels: &Labels, counts: &[u64]) {
        self.series += histogram_series(counts.len().saturating_sub(1));
        let (format, body) = (self.format, self.body(metric));
        match format {
            Format::Text => text::small_histogram(body, metric.name, labels, counts),
            Format::Protobuf => protobuf::small_histogram(body, labels, counts),
        }
    }

    /// The finished page, families in alphabetical order.
    pub(super) fn finish(self) -> Vec<u8> {
        let families = self.families.into_values().collect();
        match self.format {
            Format::Text => text::page(&self.recorder.handle().render(), families),
            Format::Protobuf => protobuf::page(families),
        }
    }

    fn body(&mut self, metric: &Metric) -> &mut Vec<u8> {
        let family = self.families.entry(metric.name);
        let body = || if self.format == Format::Text { text::head(metric) } else { Vec::new() };
        &mut family.or_insert_with(|| Family { metric: *metric, body: body() }).body
    }
}

/// The series of a histogram with that many bounds, plus `+Inf`, sum and count.
pub(super) fn histogram_series(bounds: usize) -> usize {
    bounds + 3
}

/// The sum of samples, of which there are `counts` of 1, 2 and so on.
fn sum(counts: &[u64]) -> u64 {
    counts.iter().zip(1..).map(|(count, value)| count * value).sum()
}

/// Each bound but the last, and how many samples are not above it.
fn cumulative(counts: &[u64]) -> impl Iterator<Item = (u64, u64)> {
    let bounded = counts.get(..counts.len().saturating_sub(1)).unwrap_or_default();
    bounded.iter().zip(1..).scan(0, |below, (count, bound)| {
        *below += count;
        Some((bound, *below))
    })
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

/// Escapes backslashes and quotes. The exporter keeps what is escaped, but corrupts values in which
/// a bare backslash precedes a quote, a backslash or a line feed; bare line feeds it escapes
/// itself.
fn quotable(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"")
}
