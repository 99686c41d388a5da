//! The protobuf format, the one in which there are native histograms. Series are written field by
//! field: trees of the generated messages, to be encoded then, would cost more than all else.

use prost::Message as _;
use prost::encoding::{WireType, double, encode_key, encode_varint, encoded_len_varint};
use prost::encoding::{sint32, sint64, uint32, uint64};

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
/// The number of `Metric.histogram`.
const HISTOGRAM: u32 = 7;

/// Writes a label behind those that `metric` has: the fields of a message may come in any order
/// and in parts.
pub(super) fn label(metric: &mut Vec<u8>, name: &str, value: &str) {
    let field = |text: &str| 1 + encoded_len_varint(text.len() as u64) + text.len();
    encode_key(1, WireType::LengthDelimited, metric);
    encode_varint((field(name) + field(value)) as u64, metric);
    bytes(metric, 1, name.as_bytes());
    bytes(metric, 2, value.as_bytes());
}

pub(super) fn number<'a>(
    body: &mut Vec<u8>,
    kind: Kind,
    labels: &Labels,
    more: impl Iterator<Item = (&'a str, &'a str)>,
    value: Value,
) {
    let value = match value {
        Value::Whole(value) => value as f64,
        Value::Real(value) => value,
    };
    let field = if kind == Kind::Counter { 3 } else { 2 }; // Metric.counter, Metric.gauge
    let mut metric = Vec::with_capacity(labels.written.len() + 80);
    metric.extend_from_slice(&labels.written);
    more.for_each(|(name, value)| label(&mut metric, name, value));
    encode_key(field, WireType::LengthDelimited, &mut metric);
    encode_varint(1 + 8, &mut metric);
    double::encode(1, &value, &mut metric);
    bytes(body, METRIC, &metric);
}

/// Writes a histogram in both forms; who reads it takes the one that it knows. The numbers are
/// those of the fields of `Histogram`.
pub(super) fn histogram(body: &mut Vec<u8>, labels: &Labels, bounds: &[Bound], counts: &Counts) {
    let native = native::Histogram::new(counts);
    let mut histogram = Vec::with_capacity(32 * (bounds.len() + native.spans.len() + 2));
    uint64::encode(1, &counts.count(), &mut histogram);
    double::encode(2, &seconds(counts.sum), &mut histogram);
    let below = counts.cumulative(bounds.iter().map(|bound| bound.nanos));
    for (bound, count) in bounds.iter().zip(below) {
        encode_key(3, WireType::LengthDelimited, &mut histogram);
        encode_varint((uint64::encoded_len(1, &count) + 1 + 8) as u64, &mut histogram);
        uint64::encode(1, &count, &mut histogram);
        double::encode(2, &seconds(bound.nanos), &mut histogram);
    }
    sint32::encode(5, &native::SCHEMA, &mut histogram);
    double::encode(6, &native::ZERO_THRESHOLD, &mut histogram);
    uint64::encode(7, &native.zero_count, &mut histogram);
    for native::Span { offset, length } in &native.spans {
        let size = sint32::encoded_len(1, offset) + uint32::encoded_len(2, length);
        encode_key(12, WireType::LengthDelimited, &mut histogram);
        encode_varint(size as u64, &mut histogram);
        sint32::encode(1, offset, &mut histogram);
        uint32::encode(2, length, &mut histogram);
    }
    sint64::encode_packed(13, &native.deltas, &mut histogram);

    let mut metric = Vec::with_capacity(labels.written.len() + histogram.len() + 8);
    metric.extend_from_slice(&labels.written);
    bytes(&mut metric, HISTOGRAM, &histogram);
    bytes(body, METRIC, &metric);
}

/// Writes a field that is a text or a message.
fn bytes(message: &mut Vec<u8>, number: u32, value: &[u8]) {
    encode_key(number, WireType::LengthDelimited, message);
    encode_varint(value.len() as u64, message);
    message.extend_from_slice(value);
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
