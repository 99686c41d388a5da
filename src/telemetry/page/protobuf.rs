//! The protobuf exposition format, the only one with native histograms. Series are encoded field by
//! field: building the generated message types first would cost more than the rest of the scrape.

use prost::Message as _;

use super::{Bound, Family, Labels, Value, cumulative, native, seconds, sum, wire};
use crate::stats::HistogramCounts;
use crate::telemetry::names::{Metric, MetricKind};

/// The generated message types.
#[allow(missing_docs)]
mod proto {
    tonic::include_proto!("io.prometheus.client");
}

/// Field number of `MetricFamily.metric`.
const METRIC: u8 = 4;
/// Field number of `Metric.histogram`.
const HISTOGRAM: u8 = 7;

/// Appends a label to `metric`: the fields of a message may come in any order and in pieces.
pub(super) fn label(metric: &mut Vec<u8>, name: &str, value: &str) {
    let mut label = Vec::with_capacity(name.len() + value.len() + 16);
    wire::bytes(&mut label, 1, name.as_bytes());
    wire::bytes(&mut label, 2, value.as_bytes());
    wire::bytes(metric, 1, &label);
}

pub(super) fn number<'a>(
    body: &mut Vec<u8>,
    kind: MetricKind,
    labels: &Labels,
    more: impl Iterator<Item = (&'a str, &'a str)>,
    value: Value,
) {
    let value = match value {
        Value::Whole(value) => value as f64,
        Value::Real(value) => value,
    };
    let field = if kind == MetricKind::Counter { 3 } else { 2 }; // Metric.counter, Metric.gauge
    let mut metric = Vec::with_capacity(labels.written.len() + 80);
    metric.extend_from_slice(&labels.written);
    more.for_each(|(name, value)| label(&mut metric, name, value));
    wire::small(&mut metric, field, |number| wire::double(number, 1, value));
    wire::bytes(body, METRIC, &metric);
}

/// Writes a histogram in both forms, classic and native; a reader uses the one it supports. The
/// numbers are field numbers of `Histogram`.
pub(super) fn histogram(
    body: &mut Vec<u8>,
    labels: &Labels,
    bounds: &[Bound],
    counts: &HistogramCounts,
) {
    let native = native::Histogram::new(counts);
    let size = 24 * bounds.len() + 8 * native.spans.len() + 2 * native.deltas.len() + 64;
    let mut histogram = Vec::with_capacity(size);
    wire::uint(&mut histogram, 1, counts.count());
    wire::double(&mut histogram, 2, seconds(counts.sum));
    let below = counts.cumulative(bounds.iter().map(|bound| bound.nanos));
    for (bound, count) in bounds.iter().zip(below) {
        wire::small(&mut histogram, 3, |bucket| {
            wire::uint(bucket, 1, count);
            wire::double(bucket, 2, seconds(bound.nanos));
        });
    }
    wire::sint(&mut histogram, 5, native::SCHEMA.into());
    wire::double(&mut histogram, 6, native::ZERO_THRESHOLD);
    wire::uint(&mut histogram, 7, native.zero_count);
    for native::Span { offset, length } in &native.spans {
        wire::small(&mut histogram, 12, |span| {
            wire::sint(span, 1, (*offset).into());
            wire::uint(span, 2, (*length).into());
        });
    }
    wire::packed_sints(&mut histogram, 13, &native.deltas);
    finish_histogram(body, labels, &histogram);
}

/// Writes a histogram of small whole numbers, in the classic form alone.
pub(super) fn small_histogram(body: &mut Vec<u8>, labels: &Labels, counts: &[u64]) {
    let mut histogram = Vec::new();
    wire::uint(&mut histogram, 1, counts.iter().sum());
    wire::double(&mut histogram, 2, sum(counts) as f64);
    for (bound, count) in cumulative(counts) {
        wire::small(&mut histogram, 3, |bucket| {
            wire::uint(bucket, 1, count);
            wire::double(bucket, 2, bound as f64);
        });
    }
    finish_histogram(body, labels, &histogram);
}

fn finish_histogram(body: &mut Vec<u8>, labels: &Labels, histogram: &[u8]) {
    let mut metric = Vec::with_capacity(labels.written.len() + histogram.len() + 8);
    metric.extend_from_slice(&labels.written);
    wire::bytes(&mut metric, HISTOGRAM, histogram);
    wire::bytes(body, METRIC, &metric);
}

/// Concatenates the families, each prefixed by its length.
pub(super) fn page(mut families: Vec<Family>) -> Vec<u8> {
    families.sort_unstable_by_key(|family| family.metric.name);
    let mut page = Vec::with_capacity(families.iter().map(|family| family.body.len() + 256).sum());
    for Family { metric: Metric { name, kind, help, .. }, body } in families {
        let kind = match kind {
            MetricKind::Counter => proto::MetricType::Counter,
            MetricKind::Gauge => proto::MetricType::Gauge,
            MetricKind::Histogram => proto::MetricType::Histogram,
        };
        let (name, help) = (name.into(), help.into());
        let head = proto::MetricFamily { name, help, r#type: kind.into(), metric: Vec::new() };
        let head = head.encode_to_vec();
        wire::varint(&mut page, (head.len() + body.len()) as u64);
        page.extend_from_slice(&head);
        page.extend_from_slice(&body);
    }
    page
}
