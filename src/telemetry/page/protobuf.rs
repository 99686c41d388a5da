//! The protobuf format, the one in which there are native histograms.

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::{Bound, Family, Labels, Value, native, seconds};
use crate::model::Counts;
use crate::telemetry::names::{Kind, Metric};

/// The messages, as they are generated.
#[allow(missing_docs)]
mod proto {
    tonic::include_proto!("io.prometheus.client");
}

/// The number of `MetricFamily.metric`.
const METRIC: u32 = 4;

/// Writes a label behind those that `metric` has: the fields of a message may come in any order
/// and in parts.
pub(super) fn label(metric: &mut Vec<u8>, name: &str, value: &str) {
    let label = vec![proto::LabelPair { name: name.into(), value: value.into() }];
    append(metric, &proto::Metric { label, ..Default::default() });
}

pub(super) fn number<'a>(
    body: &mut Vec<u8>,
    kind: Kind,
    labels: &Labels,
    more: impl Iterator<Item = (&'a str, &'a str)>,
    value: Value,
) {
    let mut metric = labels.written.clone();
    more.for_each(|(name, value)| label(&mut metric, name, value));
    let value = match value {
        Value::Whole(value) => value as f64,
        Value::Real(value) => value,
    };
    let (gauge, counter) = match kind {
        Kind::Counter => (None, Some(proto::Counter { value })),
        _ => (Some(proto::Gauge { value }), None),
    };
    append(&mut metric, &proto::Metric { gauge, counter, ..Default::default() });
    series(body, &metric);
}

/// Writes a histogram in both forms; who reads it takes the one that it knows.
pub(super) fn histogram(body: &mut Vec<u8>, labels: &Labels, bounds: &[Bound], counts: &Counts) {
    let nanos: Vec<u64> = bounds.iter().map(|bound| bound.nanos).collect();
    let buckets = nanos.iter().zip(counts.cumulative(&nanos)).map(|(bound, count)| proto::Bucket {
        cumulative_count: count,
        upper_bound: seconds(*bound),
    });
    let native = native::Histogram::new(counts);
    let spans = native
        .spans
        .iter()
        .map(|span| proto::BucketSpan { offset: span.offset, length: span.length });
    let histogram = proto::Histogram {
        sample_count: counts.count(),
        sample_sum: seconds(counts.sum),
        bucket: buckets.collect(),
        schema: native::SCHEMA,
        zero_threshold: native::ZERO_THRESHOLD,
        zero_count: native.zero_count,
        positive_span: spans.collect(),
        positive_delta: native.deltas,
    };
    let mut metric = labels.written.clone();
    append(&mut metric, &proto::Metric { histogram: Some(histogram), ..Default::default() });
    series(body, &metric);
}

fn append(bytes: &mut Vec<u8>, message: &impl prost::Message) {
    bytes.extend_from_slice(&message.encode_to_vec());
}

fn series(body: &mut Vec<u8>, metric: &[u8]) {
    encode_key(METRIC, WireType::LengthDelimited, body);
    encode_varint(metric.len() as u64, body);
    body.extend_from_slice(metric);
}

/// Joins the families, each behind its length.
pub(super) fn page(mut families: Vec<Family>) -> Vec<u8> {
    families.sort_unstable_by_key(|family| family.metric.name);
    let mut page = Vec::with_capacity(families.iter().map(|family| family.body.len() + 256).sum());
    for Family { metric: Metric { name, kind, help, .. }, body } in families {
        let kind = match kind {
            Kind::Counter => proto::MetricType::Counter,
            Kind::Gauge => proto::MetricType::Gauge,
            Kind::Histogram => proto::MetricType::Histogram,
        };
        let (name, help) = (name.into(), help.into());
        let head = proto::MetricFamily { name, help, r#type: kind.into(), metric: Vec::new() };
        let head = head.encode_to_vec();
        encode_varint((head.len() + body.len()) as u64, &mut page);
        page.extend_from_slice(&head);
        page.extend_from_slice(&body);
    }
    page
}
