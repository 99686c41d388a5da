//! Latency histograms with fixed decimal buckets.
//!
//! Upper bounds follow the preferred numbers R20 of ISO 3: twenty to a decade, 12 % apart, from
//! 10 us to 900 s, so a quantile read by interpolation is off by 6 % at most, and every fourth
//! bound makes a tidy coarser histogram for export.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const R20: [u64; 20] = [
    100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800,
    900,
];
const DECADES: usize = 8;
const BUCKETS: usize = R20.len() * DECADES + 1; // the last one has no upper bound

/// Inclusive upper bounds of all buckets but the last, in nanoseconds, ascending.
pub const BOUNDS: [u64; BUCKETS - 1] = bounds();

/// For each bit length, the first bucket that a number of that length may belong to.
const FIRST: [u8; 65] = first();

const fn bounds() -> [u64; BUCKETS - 1] {
    let mut bounds = [0; BUCKETS - 1];
    let mut unit = 100; // a mantissa of 100 is 1.00 times 10 us
    let mut i = 0;
    while i < bounds.len() {
        bounds[i] = R20[i % R20.len()] * unit;
        i += 1;
        if i % R20.len() == 0 {
            unit *= 10;
        }
    }
    bounds
}

const fn first() -> [u8; 65] {
    let mut first = [0u8; 65];
    let mut bits = 1;
    while bits <= 64 {
        let least = 1u64 << (bits - 1);
        let mut i = 0;
        while i < BOUNDS.len() && BOUNDS[i] < least {
            i += 1;
        }
        first[bits] = i as u8;
        bits += 1;
    }
    first
}

fn bucket(nanos: u64) -> usize {
    let mut i = usize::from(FIRST[(64 - nanos.leading_zeros()) as usize]);
    while i < BOUNDS.len() && BOUNDS[i] < nanos {
        i += 1;
    }
    i
}

/// A histogram that one thread writes and any thread reads.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one sample. Only the owning thread may call this.
    pub fn record(&self, sample: Duration) {
        let nanos = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
        let bucket = &self.buckets[bucket(nanos)];
        bucket.store(bucket.load(Relaxed).wrapping_add(1), Relaxed);
        self.sum.store(self.sum.load(Relaxed).wrapping_add(nanos), Relaxed);
    }

    /// Adds what was counted to `counts`.
    pub fn add_to(&self, counts: &mut Counts) {
        for (sum, bucket) in counts.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Relaxed);
        }
        counts.sum += self.sum.load(Relaxed);
    }
}

/// What a histogram has counted, as plain numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Samples in each bucket; bucket `i` ends at [`BOUNDS`]`[i]`, the last one never.
    pub buckets: [u64; BUCKETS],
    /// The sum of all samples in nanoseconds.
    pub sum: u64,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts { buckets: [0; BUCKETS], sum: 0 }
    }
}

impl Counts {
    /// How many samples there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What was counted since `earlier` was read.
    pub fn since(&self, earlier: &Counts) -> Counts {
        let mut diff = self.clone();
        for (now, then) in diff.buckets.iter_mut().zip(&earlier.buckets) {
            *now = now.wrapping_sub(*then);
        }
        diff.sum = diff.sum.wrapping_sub(earlier.sum);
        diff
    }

    /// The `q`-quantile (0.0..=1.0) in seconds, interpolated within its bucket; `None` without
    /// samples. A sample beyond the last bound counts as that bound.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * count as f64).max(f64::MIN_POSITIVE);
        let mut below = 0u64;
        for (i, &n) in self.buckets.iter().enumerate() {
            if n > 0 && (below + n) as f64 >= rank {
                let lower = if i == 0 { 0 } else { BOUNDS[i - 1] } as f64;
                let upper = BOUNDS[i.min(BOUNDS.len() - 1)] as f64;
                let within = (rank - below as f64) / n as f64;
                return Some((lower + (upper - lower) * within) / 1e9);
            }
            below += n;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_decimal_and_ascend() {
        assert_eq!(BOUNDS[0], 10_000);
        assert_eq!(BOUNDS[20], 100_000);
        assert_eq!(BOUNDS[60], 10_000_000);
        assert_eq!(BOUNDS[159], 900_000_000_000);
        assert!(BOUNDS.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn every_sample_falls_under_its_bound() {
        for (i, &bound) in BOUNDS.iter().enumerate() {
            assert_eq!(bucket(bound), i);
            assert_eq!(bucket(bound + 1), i + 1);
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_within_six_percent() {
        let histogram = Histogram::default();
        for i in 1..=10_000u64 {
            histogram.record(Duration::from_micros(i * 3));
        }
        let mut counts = Counts::default();
        histogram.add_to(&mut counts);
        for q in [0.5, 0.9, 0.99, 0.999] {
            let exact = q * 0.03;
            let read = counts.quantile(q).unwrap();
            assert!((read - exact).abs() / exact < 0.06, "{q}: {read} against {exact}");
        }
        assert_eq!(Counts::default().quantile(0.5), None);
    }
}
