//! A coarse histogram, for when there are many histograms: the same bucket bounds, without
//! sub-buckets.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::HistogramCounts;
use super::layout::{DECADE_BUCKETS, PAGES, bucket_cell, bucket_index};
use crate::stats::increment;

type Decade = [AtomicU64; DECADE_BUCKETS];

/// A histogram with one writer thread and any number of readers. A quantile is off by half a
/// bucket, 6.3 % at most.
#[derive(Debug, Default)]
pub struct CoarseHistogram {
    decades: [OnceLock<Box<Decade>>; PAGES],
    sum: AtomicU64,
}

impl CoarseHistogram {
    /// Records a sample. Only the owning thread may call this.
    pub fn record(&self, sample: Duration) {
        let nanos = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
        let (decade, bucket) = bucket_index(nanos);
        let new = || Box::new([const { AtomicU64::new(0) }; DECADE_BUCKETS]);
        increment(&self.decades[decade].get_or_init(new)[bucket]);
        self.sum.store(self.sum.load(Relaxed).wrapping_add(nanos), Relaxed);
    }

    /// Adds its counts to `counts`.
    pub fn add_to(&self, counts: &mut HistogramCounts) {
        for (number, decade) in self.decades.iter().enumerate() {
            let Some(decade) = decade.get() else { continue };
            let sums = counts.page(number);
            for (bucket, count) in decade.iter().enumerate() {
                sums[bucket_cell(bucket)] += count.load(Relaxed);
            }
        }
        counts.sum = counts.sum.wrapping_add(self.sum.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::BOUNDS;
    use super::*;

    fn counts(samples: &[u64]) -> HistogramCounts {
        let (buckets, mut counts) = (CoarseHistogram::default(), HistogramCounts::default());
        samples.iter().for_each(|nanos| buckets.record(Duration::from_nanos(*nanos)));
        buckets.add_to(&mut counts);
        counts
    }

    #[test]
    fn cumulative_counts_at_bounds_are_exact() {
        let edges: Vec<u64> = BOUNDS.iter().flat_map(|bound| [*bound, *bound + 1]).collect();
        let counts = counts(&edges);
        let counted: Vec<u64> = counts.cumulative(BOUNDS.into_iter()).collect();
        let expected: Vec<u64> = (0..BOUNDS.len() as u64).map(|i| 2 * i + 1).collect();
        assert_eq!(counted, expected);
        assert_eq!(counts.count(), edges.len() as u64);
        assert_eq!(counts.sum, edges.iter().sum::<u64>());
    }

    #[test]
    fn no_single_sample_is_off_by_more_than_is_promised() {
        let mut nanos = BOUNDS[0] + 1;
        while nanos < BOUNDS[BOUNDS.len() - 1] {
            let (exact, read) = (nanos as f64 / 1e9, counts(&[nanos]).quantile(0.99).unwrap());
            assert!((exact - read).abs() <= exact * 0.07, "{exact} was taken for {read}");
            nanos += 1 + nanos / 701;
        }
    }
}
