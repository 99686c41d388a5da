//! Log-linear latency histograms: exact at decimal bounds, and between these fine enough that a
//! quantile is off by at most [`QUANTILE_ERROR`] for any distribution.
//!
//! Counters are allocated by decade, at its first sample; most backends use two or three of eight.

mod coarse;
mod layout;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::counter::increment;
pub use coarse::CoarseHistogram;
pub use layout::nearest_bound;
use layout::{PAGE, PAGES, cell, middle};

/// The maximum relative error of a quantile: half of the widest sub-bucket. (Up to 10 us the error
/// may be 0.5 us, and samples above 900 s count as that.)
pub const QUANTILE_ERROR: f64 = 0.0072;

/// A histogram with one writer thread and any number of readers.
#[derive(Debug, Default)]
pub struct Histogram {
    pages: [OnceLock<Box<[AtomicU64; PAGE]>>; PAGES],
    sum: AtomicU64,
}

impl Histogram {
    /// Records a sample. Only the owning thread may call this.
    pub fn record(&self, sample: Duration) {
        let nanos = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
        let (page, cell) = cell(nanos);
        let page = self.pages[page].get_or_init(|| Box::new([const { AtomicU64::new(0) }; PAGE]));
        increment(&page[cell]);
        self.sum.store(self.sum.load(Relaxed).wrapping_add(nanos), Relaxed);
    }

    /// Adds its counts to `counts`.
    pub fn add_to(&self, counts: &mut HistogramCounts) {
        for (number, page) in self.pages.iter().enumerate() {
            let Some(page) = page.get() else { continue };
            for (sum, count) in counts.page(number).iter_mut().zip(page.iter()) {
                *sum += count.load(Relaxed);
            }
        }
        counts.sum = counts.sum.wrapping_add(self.sum.load(Relaxed));
    }
}

/// A snapshot of histogram counts, as plain numbers.
#[derive(Clone, Debug, Default)]
pub struct HistogramCounts {
    /// One page a decade, as in the histogram; absent without samples.
    pages: [Option<Box<[u64; PAGE]>>; PAGES],
    /// The sum of all samples in nanoseconds.
    pub sum: u64,
}

impl HistogramCounts {
    fn page(&mut self, number: usize) -> &mut [u64; PAGE] {
        self.pages[number].get_or_insert_with(|| Box::new([0; PAGE]))
    }

    /// The pages present, with their numbers.
    fn pages(&self) -> impl Iterator<Item = (usize, &[u64; PAGE])> {
        let pages = self.pages.iter().enumerate();
        pages.filter_map(|(number, page)| Some((number, &**page.as_ref()?)))
    }

    /// The number of samples.
    pub fn count(&self) -> u64 {
        self.pages().map(|(_, page)| page.iter().sum::<u64>()).sum()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.pages().all(|(_, page)| page.iter().all(|count| *count == 0))
    }

    /// Cumulative counts: samples less than or equal to each of `bounds`, which ascend. Exact for
    /// bounds given by `nearest_bound`.
    pub fn cumulative(&self, bounds: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
        let (mut total, mut from) = (0, (0, 0));
        bounds.map(move |bound| {
            let (page, last) = cell(bound);
            let to = (page, last + 1);
            total += self.between(from, to);
            from = to;
            total
        })
    }

    /// Samples in the half-open range of cells.
    fn between(&self, (page, cell): (usize, usize), to: (usize, usize)) -> u64 {
        let pages = self.pages.iter().enumerate().take(to.0 + 1).skip(page);
        let of = pages.filter_map(|(number, counts)| {
            let begin = if number == page { cell } else { 0 };
            let end = if number == to.0 { to.1 } else { PAGE };
            Some(counts.as_ref()?.get(begin..end)?.iter().sum::<u64>())
        });
        of.sum()
    }

    /// Cells with samples, ascending, with their counts.
    pub fn samples(&self) -> impl Iterator<Item = (Sample, u64)> {
        self.pages().flat_map(|(page, counts)| {
            let counted = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            counted.map(move |(cell, count)| (Sample(page * PAGE + cell), *count))
        })
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &HistogramCounts) {
        for (number, page) in other.pages() {
            for (sum, count) in self.page(number).iter_mut().zip(page) {
                *sum += count;
            }
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Subtracts the counts of `earlier`, an older snapshot of the same histogram.
    pub fn subtract(&mut self, earlier: &HistogramCounts) {
        for (number, page) in earlier.pages() {
            let Some(now) = &mut self.pages[number] else { continue };
            for (now, then) in now.iter_mut().zip(page) {
                *now = now.wrapping_sub(*then);
            }
        }
        self.sum = self.sum.wrapping_sub(earlier.sum);
    }

    /// The difference to `earlier`, an older snapshot of the same histogram.
    pub fn since(&self, earlier: &HistogramCounts) -> HistogramCounts {
        let mut diff = self.clone();
        diff.subtract(earlier);
        diff
    }

    /// The `q`-quantile (0.0..=1.0) in seconds, nearest-rank, within [`QUANTILE_ERROR`]. `None`
    /// without samples.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (sample, count) in self.samples() {
            below += count;
            if below >= rank {
                return Some(sample.seconds());
            }
        }
        None
    }
}

/// A quantized sample: the finitely many values that samples are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample(usize);

impl Sample {
    /// All values, ascending.
    pub fn all() -> impl Iterator<Item = Sample> {
        (0..PAGES * PAGE).map(Sample)
    }

    /// Its index in [`all`](Sample::all).
    pub fn number(self) -> usize {
        self.0
    }

    /// The value.
    pub fn seconds(self) -> f64 {
        middle(self.0 / PAGE, self.0 % PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::layout::BOUNDS;
    use super::*;

    const LAST: u64 = BOUNDS[BOUNDS.len() - 1];

    fn counts(samples: &[u64]) -> HistogramCounts {
        let (histogram, mut counts) = (Histogram::default(), HistogramCounts::default());
        samples.iter().for_each(|nanos| histogram.record(Duration::from_nanos(*nanos)));
        histogram.add_to(&mut counts);
        counts
    }

    #[test]
    fn cumulative_counts_at_bounds_are_exact() {
        let edges: Vec<u64> = BOUNDS.iter().flat_map(|bound| [*bound, *bound + 1]).collect();
        let counts = counts(&edges);
        let counted: Vec<u64> = counts.cumulative(BOUNDS.into_iter()).collect();
        let expected: Vec<u64> = (0..BOUNDS.len() as u64).map(|i| 2 * i + 1).collect();
        assert_eq!(counted, expected);
        let few = [1_000_000, 10_000_000, 75_000_000, 60_000_000_000];
        let exact = few.map(|bound| edges.iter().filter(|edge| **edge <= bound).count() as u64);
        assert_eq!(counts.cumulative(few.into_iter()).collect::<Vec<_>>(), exact);
        assert_eq!(counts.samples().map(|(_, count)| count).sum::<u64>(), counts.count());
    }

    #[test]
    fn no_single_sample_is_off_by_more_than_is_promised() {
        let mut nanos = BOUNDS[0] + 1;
        while nanos < LAST {
            let (exact, read) = (nanos as f64 / 1e9, counts(&[nanos]).quantile(0.5).unwrap());
            assert!((read - exact).abs() / exact < QUANTILE_ERROR, "{read} against {exact}");
            nanos += 1 + nanos / 701;
        }
        assert!(counts(&[0]).quantile(1.0).unwrap() < 1e-6);
        assert_eq!(counts(&[u64::MAX]).quantile(0.5), Some(900.0));
    }

    /// Samples of typical latency distributions: uniform, long-tailed, bimodal, constant.
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
        assert_eq!(HistogramCounts::default().quantile(0.5), None);
    }

    #[test]
    fn sums_and_differences_are_those_of_the_samples() {
        let (early, late) = (counts(&[1, 20_000, 7_000_000]), counts(&[5_000_000_000, u64::MAX]));
        let mut both = early.clone();
        both.add(&late);
        assert_eq!((both.count(), both.since(&early).count()), (5, 2));
        let all = counts(&[1, 20_000, 7_000_000, 5_000_000_000, u64::MAX]);
        assert!(both.samples().eq(all.samples()));
        assert!(both.since(&early).samples().eq(late.samples()));
        assert_eq!(both.since(&early).sum, late.sum);
        assert_eq!(both.since(&late).quantile(0.5), early.quantile(0.5));
    }

    #[test]
    fn memory_is_that_of_the_decades_in_use() {
        let counts = counts(&[2_000_000, 9_000_000, 20_000_000]);
        assert_eq!(counts.pages().count(), 2);
    }
}
