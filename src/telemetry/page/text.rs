//! The text format, version 0.0.4.

use std::io::Write as _;

use super::{Bound, Family, Labels, Value, quotable, seconds};
use crate::model::Counts;
use crate::telemetry::names::Metric;

/// Writes a label behind those that `body` has.
pub(super) fn label(body: &mut Vec<u8>, name: &str, value: &str) {
    let comma = if body.is_empty() { "" } else { "," };
    let value = quotable(value).replace('\n', "\\n");
    let _ = write!(body, "{comma}{name}=\"{value}\""); // a vector takes all
}

pub(super) fn number<'a>(
    body: &mut Vec<u8>,
    name: &str,
    labels: &Labels,
    more: impl Iterator<Item = (&'a str, &'a str)>,
    value: Value,
) {
    let mut all = labels.written.clone();
    more.for_each(|(name, value)| label(&mut all, name, value));
    begin(body, name, "", &all);
    if !all.is_empty() {
        body.push(b'}');
    }
    end(body, value);
}

/// Writes a histogram: each bucket has the samples of those before it too.
pub(super) fn histogram(
    body: &mut Vec<u8>,
    name: &str,
    labels: &Labels,
    bounds: &[Bound],
    counts: &Counts,
) {
    let nanos: Vec<u64> = bounds.iter().map(|bound| bound.nanos).collect();
    let all = counts.count();
    let buckets = bounds.iter().map(|bound| &*bound.seconds).zip(counts.cumulative(&nanos));
    for (bound, count) in buckets.chain([("+Inf", all)]) {
        begin(body, name, "_bucket", &labels.written);
        body.extend_from_slice(b",le=\"");
        body.extend_from_slice(bound.as_bytes());
        body.extend_from_slice(b"\"}");
        end(body, Value::Whole(count));
    }
    for (suffix, value) in
        [("_sum", Value::Real(seconds(counts.sum))), ("_count", Value::Whole(all))]
    {
        begin(body, name, suffix, &labels.written);
        body.push(b'}');
        end(body, value);
    }
}

fn begin(body: &mut Vec<u8>, name: &str, suffix: &str, labels: &[u8]) {
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(suffix.as_bytes());
    if !labels.is_empty() {
        body.push(b'{');
        body.extend_from_slice(labels);
    }
}

fn end(body: &mut Vec<u8>, value: Value) {
    let _ = match value {
        Value::Whole(value) => writeln!(body, " {value}"),
        Value::Real(value) => writeln!(body, " {value}"),
    };
}

/// The two lines that a family begins with.
pub(super) fn head(metric: &Metric) -> Vec<u8> {
    let Metric { name, kind, help, .. } = metric;
    format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()).into_bytes()
}

/// Joins what the exporter has rendered and the families that were written here.
pub(super) fn page(recorded: &str, families: Vec<Family>) -> Vec<u8> {
    let recorded = recorded.split_terminator("\n\n").map(|family| in_order(family).into_bytes());
    let written = families.into_iter().map(|family| family.body);
    let mut families: Vec<Vec<u8>> = recorded.chain(written).collect();
    families.sort_unstable();
    families.concat()
}

/// Sorts the series of a family below its two lines of comment.
fn in_order(family: &str) -> String {
    let mut lines: Vec<&str> = family.split('\n').collect();
    if let Some(series) = lines.get_mut(2..) {
        series.sort_unstable();
    }
    lines.join("\n") + "\n"
}
