//! Native histograms: sparse exponential buckets, their resolution given by a schema.

use std::sync::LazyLock;

use crate::stats::{HistogramCounts, Sample};

/// Bucket bounds are 2^(index / 2^5), 2.2 % apart: the finest schema whose buckets are still wider
/// than those in which samples were counted.
pub(super) const SCHEMA: i32 = 5;
/// 2^-16 s, about 15 us; below, our own buckets are wider than the native ones.
pub(super) const ZERO_THRESHOLD: f64 = 1.0 / 65_536.0;

/// The buckets of a native histogram.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Histogram {
    pub(super) zero_count: u64,
    pub(super) spans: Vec<Span>,
    /// Delta-encoded counts.
    pub(super) deltas: Vec<i64>,
}

/// A run of consecutive buckets.
#[derive(Debug, PartialEq)]
pub(super) struct Span {
    /// Gap to the previous span; for the first span, the index of its first bucket.
    pub(super) offset: i32,
    pub(super) length: u32,
}

impl Histogram {
    pub(super) fn new(counts: &HistogramCounts) -> Histogram {
        let mut histogram = Histogram::default();
        let mut buckets: Vec<(i32, u64)> = Vec::with_capacity(128);
        for (sample, count) in counts.samples() {
            let Some(index) = INDICES.get(sample.number()).copied().flatten() else {
                histogram.zero_count += count;
                continue;
            };
            match buckets.last_mut() {
                Some((last, sum)) if *last == index => *sum += count,
                _ => buckets.push((index, count)),
            }
        }
        histogram.deltas.reserve(buckets.len());
        let (mut next, mut before) = (0, 0);
        for (index, count) in buckets {
            match histogram.spans.last_mut() {
                Some(span) if index == next => span.length += 1,
                _ => histogram.spans.push(Span { offset: index - next, length: 1 }),
            }
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            histogram.deltas.push(count - before);
            (next, before) = (index + 1, count);
        }
        histogram
    }
}

/// The native bucket of each of our buckets, unless it is the zero bucket. Precomputed, as
/// logarithms are slow.
static INDICES: LazyLock<Vec<Option<i32>>> = LazyLock::new(|| {
    let index = |seconds| (seconds > ZERO_THRESHOLD).then(|| index(seconds));
    Sample::all().map(|sample| index(sample.seconds())).collect()
});

/// The first bucket whose inclusive upper bound is at least `seconds`.
fn index(seconds: f64) -> i32 {
    (seconds.log2() * f64::from(1 << SCHEMA)).ceil() as i32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn counts(micros: &[u64]) -> HistogramCounts {
        let (histogram, mut counts) =
            (crate::stats::Histogram::default(), HistogramCounts::default());
        micros.iter().for_each(|micros| histogram.record(Duration::from_micros(*micros)));
        histogram.add_to(&mut counts);
        counts
    }

    /// The buckets as `(index, count)`.
    fn buckets(histogram: &Histogram) -> Vec<(i32, i64)> {
        let (mut index, mut count, mut deltas) = (0, 0, histogram.deltas.iter());
        let mut buckets = Vec::new();
        for span in &histogram.spans {
            index += span.offset;
            for _ in 0..span.length {
                count += deltas.next().unwrap();
                buckets.push((index, count));
                index += 1;
            }
        }
        assert_eq!(deltas.next(), None);
        buckets
    }

    #[test]
    fn every_sample_is_in_the_bucket_of_its_size() {
        let samples = [1, 14, 100, 101, 1_000, 1_500, 1_500, 20_000, 2_000_000, 899_000_000];
        let histogram = Histogram::new(&counts(&samples));
        assert_eq!(histogram.zero_count, 2);
        let buckets = buckets(&histogram);
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<i64>(), 8);
        assert!(buckets.windows(2).all(|w| w[0].0 < w[1].0));
        for sample in &samples[2..] {
            let seconds = *sample as f64 / 1e6;
            let near = |index: i32| (f64::from(index) - 0.5) / 32.0;
            let found =
                buckets.iter().any(|(index, _)| (near(*index) - seconds.log2()).abs() < 0.04);
            assert!(found, "{sample}");
        }
    }

    #[test]
    fn bounds_belong_to_the_bucket_below() {
        assert_eq!((index(1.0), index(1.001), index(2.0), index(0.5)), (0, 1, 32, -32));
    }

    #[test]
    fn none_is_nothing() {
        assert_eq!(Histogram::new(&HistogramCounts::default()), Histogram::default());
    }
}
