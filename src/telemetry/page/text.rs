//! The text exposition format, version 0.0.4.

use std::io::Write as _;

use super::{Bound, Family, Labels, Value, cumulative, quotable, seconds, sum};
use crate::stats::HistogramCounts;
use crate::telemetry::names::Metric;

/// Appends a label to `body`.
pub(super) fn label(body: &mut Vec<u8>, name: &str, value: &str) {
    if !body.is_empty() {
        body.push(b',');
    }
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"=\"");
    match value.contains(['\\', '"', '\n']) {
        true => body.extend_from_slice(quotable(value).replace('\n', "\\n").as_bytes()),
        false => body.extend_from_slice(value.as_bytes()),
    }
    body.push(b'"');
}

pub(super) fn number<'a>(
    body: &mut Vec<u8>,
    name: &str,
    labels: &Labels,
    mut more: impl Iterator<Item = (&'a str, &'a str)>,
    value: Value,
) {
    body.extend_from_slice(name.as_bytes());
    let first = more.next();
    if first.is_some() || !labels.written.is_empty() {
        body.push(b'{');
        let mut all = Vec::with_capacity(labels.written.len() + 64);
        all.extend_from_slice(&labels.written);
        first.into_iter().chain(more).for_each(|(name, value)| label(&mut all, name, value));
        body.extend_from_slice(&all);
        body.push(b'}');
    }
    end(body, value);
}

/// Writes a histogram with cumulative buckets.
pub(super) fn histogram(
    body: &mut Vec<u8>,
    name: &str,
    labels: &Labels,
    bounds: &[Bound],
    counts: &HistogramCounts,
) {
    body.reserve((name.len() + labels.written.len() + 40) * (bounds.len() + 3));
    let below = counts.cumulative(bounds.iter().map(|bound| bound.nanos));
    let buckets = bounds.iter().map(|bound| &*bound.seconds).zip(below);
    let sum = Value::Real(seconds(counts.sum));
    buckets_and_sum(body, name, labels, buckets, (counts.count(), sum));
}

/// Writes a histogram of small whole numbers.
pub(super) fn small_histogram(body: &mut Vec<u8>, name: &str, labels: &Labels, counts: &[u64]) {
    let buckets: Vec<(String, u64)> =
        cumulative(counts).map(|(bound, count)| (bound.to_string(), count)).collect();
    let buckets = buckets.iter().map(|(bound, count)| (&**bound, *count));
    let totals = (counts.iter().sum(), Value::Whole(sum(counts)));
    buckets_and_sum(body, name, labels, buckets, totals);
}

fn buckets_and_sum<'a>(
    body: &mut Vec<u8>,
    name: &str,
    labels: &Labels,
    buckets: impl Iterator<Item = (&'a str, u64)>,
    (all, sum): (u64, Value),
) {
    let bucket = [name.as_bytes(), b"_bucket{", &labels.written, b",le=\""].concat();
    for (bound, count) in buckets.chain([("+Inf", all)]) {
        body.extend_from_slice(&bucket);
        body.extend_from_slice(bound.as_bytes());
        body.extend_from_slice(b"\"}");
        end(body, Value::Whole(count));
    }
    for (suffix, value) in [("_sum", sum), ("_count", Value::Whole(all))] {
        for part in [name, suffix, "{"] {
            body.extend_from_slice(part.as_bytes());
        }
        body.extend_from_slice(&labels.written);
        body.push(b'}');
        end(body, value);
    }
}

fn end(body: &mut Vec<u8>, value: Value) {
    const WHOLE: f64 = (1_u64 << 53) as f64; // integers below it are exact
    body.push(b' ');
    match value {
        Value::Whole(value) => whole(body, value),
        Value::Real(value) if (0.0..WHOLE).contains(&value) && value.fract() == 0.0 => {
            whole(body, value as u64);
        }
        Value::Real(value) => {
            let _ = write!(body, "{value}"); // writing to a Vec cannot fail
        }
    }
    body.push(b'\n');
}

fn whole(body: &mut Vec<u8>, value: u64) {
    body.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The `HELP` and `TYPE` lines of a family.
pub(super) fn head(metric: &Metric) -> Vec<u8> {
    let Metric { name, kind, help, .. } = metric;
    format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()).into_bytes()
}

/// Joins what the exporter has rendered with the families rendered here.
pub(super) fn page(recorded: &str, families: Vec<Family>) -> Vec<u8> {
    let recorded = recorded.split_terminator("\n\n").map(|family| in_order(family).into_bytes());
    let written = families.into_iter().map(|family| family.body);
    let mut families: Vec<Vec<u8>> = recorded.chain(written).collect();
    families.sort_unstable();
    families.concat()
}

/// Sorts the series of a family below its `HELP` and `TYPE` lines.
fn in_order(family: &str) -> String {
    let mut lines: Vec<&str> = family.split('\n').collect();
    if let Some(series) = lines.get_mut(2..) {
        series.sort_unstable();
    }
    lines.join("\n") + "\n"
}
