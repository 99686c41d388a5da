//! Latency histograms with fixed decimal buckets.
//!
//! Upper bounds follow the preferred numbers R20 of ISO 3: twenty to a decade, 12 % apart, from
//! 10 us to 900 s. These are for export; within its bounds each bucket is counted in ten equal parts, at most 1.43 % wide, so that a quantile read from
//! their middles is off by [`QUANTILE_ERROR`] at most, whatever the samples are.
//!
//! The counters of a decade are allocated when its first sample comes, and most backends keep to
//! two or three of the eight.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::stats::increment;

const R20: [u64; 20] = [
    100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800,
    900,
];
const DECADES: usize = 8;
const BUCKETS: usize = R20.len() * DECADES + 1; // the last one has no upper bound
/// Parts of a bucket that are counted apart.
const PARTS: usize = 10;
/// Counters of a decade.
const PAGE: usize = R20.len() * PARTS;
const PAGES: usize = DECADES + 1; // the last one for the bucket without bound

/// How far a quantile may be off, relative to the sample it stands for: half of the widest part.
/// (Up to 10 us it may be 0.5 us, and what is beyond the last bound counts as that bound.)
pub const QUANTILE_ERROR: f64 = 0.0072;

/// Inclusive upper bounds of all buckets but the last, in nanoseconds, ascending.
pub const BOUNDS: [u64; BUCKETS - 1] = bounds();

/// For each bucket, its parts divided by its width, as a fraction of 2^64: dividing takes longer.
const PARTS_PER_NANO: [u64; BUCKETS] = parts_per_nano();

/// For each [`scale`], the first bucket that a number of that scale may belong to.
const FIRST: [u8; 64 * 8] = first();

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

const fn parts_per_nano() -> [u64; BUCKETS] {
    let mut parts = [0; BUCKETS]; // 0 for the last one: it is a single part
    let mut lower = 0;
    let mut i = 0;
    while i < BOUNDS.len() {
        parts[i] = (((PARTS as u128) << 64) / (BOUNDS[i] - lower) as u128) as u64;
        lower = BOUNDS[i];
        i += 1;
    }
    parts
}

const fn first() -> [u8; 64 * 8] {
    let mut first = [0; 64 * 8];
    let mut i = 0;
    let mut at = scale(0);
    while at < first.len() {
        let least = (8 + at as u64 % 8) << (at / 8 - 3);
        while i < BOUNDS.len() && BOUNDS[i] < least {
            i += 1;
        }
        first[at] = i as u8;
        at += 1;
    }
    first
}

/// The number's highest bit, in eight steps up to the next: a number of floating point.
const fn scale(nanos: u64) -> usize {
    let nanos = nanos | 8;
    let highest = nanos.ilog2();
    (highest as usize * 8) | (nanos >> (highest - 3)) as usize & 7
}

fn bucket(nanos: u64) -> usize {
    let mut i = usize::from(FIRST[scale(nanos)]);
    while i < BOUNDS.len() && BOUNDS[i] < nanos {
        i += 1;
    }
    i
}

/// What bucket `i` is above of, and its bound; the last one is as narrow as can be.
fn ends(i: usize) -> (u64, u64) {
    let bound = |i: usize| BOUNDS[i.min(BOUNDS.len() - 1)];
    (if i == 0 { 0 } else { bound(i - 1) }, bound(i))
}

/// The page and the place on it that a sample is counted at.
fn place(nanos: u64) -> (usize, usize) {
    let i = bucket(nanos);
    let above = nanos.saturating_sub(ends(i).0 + 1);
    let part = (u128::from(above) * u128::from(PARTS_PER_NANO[i])) >> 64;
    (i / R20.len(), i % R20.len() * PARTS + part as usize)
}

/// A histogram that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub struct Histogram {
    pages: [OnceLock<Box<[AtomicU64; PAGE]>>; PAGES],
    sum: AtomicU64,
}

impl Histogram {
    /// Counts one sample. Only the owning thread may call this.
    pub fn record(&self, sample: Duration) {
        let nanos = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
        let (page, place) = place(nanos);
        let page = self.pages[page].get_or_init(|| Box::new([const { AtomicU64::new(0) }; PAGE]));
        increment(&page[place]);
        self.sum.store(self.sum.load(Relaxed).wrapping_add(nanos), Relaxed);
    }

    /// Adds what was counted to `counts`.
    pub fn add_to(&self, counts: &mut Counts) {
        for (sums, page) in counts.pages.iter_mut().zip(&self.pages) {
            if let Some(page) = page.get() {
                sums.resize(PAGE, 0);
                for (sum, count) in sums.iter_mut().zip(page.iter()) {
                    *sum += count.load(Relaxed);
                }
            }
        }
        counts.sum = counts.sum.wrapping_add(self.sum.load(Relaxed));
    }
}

/// What a histogram has counted, as plain numbers.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// As in the histogram; without samples a page may be empty.
    pages: [Vec<u64>; PAGES],
    /// The sum of all samples in nanoseconds.
    pub sum: u64,
}

impl Counts {
    /// How many samples there are.
    pub fn count(&self) -> u64 {
        self.pages.iter().flatten().sum()
    }

    /// Samples in each bucket; bucket `i` ends at [`BOUNDS`]`[i]`, the last one never.
    pub fn buckets(&self) -> impl Iterator<Item = u64> + '_ {
        (0..BUCKETS).map(|i| {
            let page = &self.pages[i / R20.len()];
            page.chunks_exact(PARTS).nth(i % R20.len()).map_or(0, |parts| parts.iter().sum())
        })
    }

    /// Adds what `other` has counted.
    pub fn add(&mut self, other: &Counts) {
        for (sums, page) in self.pages.iter_mut().zip(&other.pages) {
            sums.resize(sums.len().max(page.len()), 0);
            for (sum, count) in sums.iter_mut().zip(page) {
                *sum += count;
            }
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// What was counted since `earlier` was read.
    pub fn since(&self, earlier: &Counts) -> Counts {
        let mut diff = self.clone();
        for (now, then) in diff.pages.iter_mut().zip(&earlier.pages) {
            for (now, then) in now.iter_mut().zip(then) {
                *now = now.wrapping_sub(*then);
            }
        }
        diff.sum = diff.sum.wrapping_sub(earlier.sum);
        diff
    }

    /// The `q`-quantile (0.0..=1.0) in seconds: the least sample that a share of `q` is not above
    /// of, to within [`QUANTILE_ERROR`]. `None` without samples.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (page, counts) in self.pages.iter().enumerate() {
            for (place, count) in counts.iter().enumerate() {
                below += count;
                if below >= rank {
                    return Some(middle(page, place));
                }
            }
        }
        None
    }
}

/// The middle of a part, in seconds.
fn middle(page: usize, place: usize) -> f64 {
    let (lower, upper) = ends(page * R20.len() + place / PARTS);
    let part = (place % PARTS) as f64 + 0.5;
    (lower as f64 + (upper - lower) as f64 * part / PARTS as f64) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(samples: &[u64]) -> Counts {
        let (histogram, mut counts) = (Histogram::default(), Counts::default());
        samples.iter().for_each(|nanos| histogram.record(Duration::from_nanos(*nanos)));
        histogram.add_to(&mut counts);
        counts
    }

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
    fn exported_buckets_are_exact() {
        let edges: Vec<u64> = BOUNDS.iter().flat_map(|bound| [*bound, *bound + 1]).collect();
        let counted: Vec<u64> = counts(&edges).buckets().collect();
        let mut expected = vec![2; BUCKETS];
        (expected[0], expected[BUCKETS - 1]) = (1, 1);
        assert_eq!(counted, expected);
    }

    #[test]
    fn no_single_sample_is_off_by_more_than_is_promised() {
        let mut nanos = BOUNDS[0] + 1;
        while nanos < BOUNDS[159] {
            let (exact, read) = (nanos as f64 / 1e9, counts(&[nanos]).quantile(0.5).unwrap());
            assert!((read - exact).abs() / exact < QUANTILE_ERROR, "{read} against {exact}");
            nanos += 1 + nanos / 701;
        }
        assert!(counts(&[0]).quantile(1.0).unwrap() < 1e-6);
        assert_eq!(counts(&[u64::MAX]).quantile(0.5), Some(900.0));
    }

    /// Samples of distributions that backends have: even, long tails, two modes, all the same.
    fn distributions() -> Vec<Vec<u64>> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut draw = |f: &dyn Fn(f64) -> f64| -> Vec<u64> {
            (0..20_000).map(|_| (f(1.0 - rng.f64()) * 1e9) as u64).collect()
        };
        vec![
            draw(&|u| 0.001 + 0.03 * u),
            draw(&|u| -0.008 * u.ln()),
            draw(&|u| 0.002 * u.powf(-0.7)),
            draw(&|u| if u < 0.985 { 0.0004 } else { 1.5 + u }),
            draw(&|_| 0.010),
        ]
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_samples() {
        for (number, mut samples) in distributions().into_iter().enumerate() {
            for len in [1, 2, 10, 999, samples.len()] {
                let samples = &mut samples[..len];
                let counts = counts(samples);
                samples.sort_unstable();
                for q in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
                    let rank = ((q * len as f64).ceil() as usize).max(1);
                    let exact = samples[rank - 1] as f64 / 1e9;
                    let off = (counts.quantile(q).unwrap() - exact).abs();
                    let allowed = (exact * QUANTILE_ERROR).max(0.5e-6);
                    assert!(off <= allowed, "{number}, {len} samples, {q}: {off} off {exact}");
                }
            }
        }
        assert_eq!(Counts::default().quantile(0.5), None);
    }

    #[test]
    fn sums_and_differences_are_those_of_the_samples() {
        let (early, late) = (counts(&[1, 20_000, 7_000_000]), counts(&[5_000_000_000, u64::MAX]));
        let mut both = early.clone();
        both.add(&late);
        assert_eq!((both.count(), both.since(&early).count()), (5, 2));
        assert!(
            both.buckets().eq(counts(&[1, 20_000, 7_000_000, 5_000_000_000, u64::MAX]).buckets())
        );
        assert!(both.since(&early).buckets().eq(late.buckets()));
        assert_eq!(both.since(&early).sum, late.sum);
        assert_eq!(both.since(&late).quantile(0.5), early.quantile(0.5));
    }

    #[test]
    fn memory_is_that_of_the_decades_in_use() {
        let counts = counts(&[2_000_000, 9_000_000, 20_000_000]);
        assert_eq!(counts.pages.iter().filter(|page| !page.is_empty()).count(), 2);
    }
}
