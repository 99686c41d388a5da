//! Outcomes of mirrored requests, and their counters.

use crate::stats::WorkerCounter;

/// How the copy of a mirrored request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The mirror took all of it and answered, with whatever status.
    Answered,
    /// No backend of the mirror could be reached, or its connection broke.
    Failed,
    /// The mirror was too slow to take the body, or its answer timed out.
    Slow,
    /// Not copied: the limit of concurrent copies was reached.
    Crowded,
    /// The original was cancelled, or ended before its body was complete.
    Abandoned,
}

impl Copied {
    /// All outcomes, in the order of their discriminants.
    pub const ALL: [Copied; 5] =
        [Copied::Answered, Copied::Failed, Copied::Slow, Copied::Crowded, Copied::Abandoned];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Copied::Answered => "answered",
            Copied::Failed => "failed",
            Copied::Slow => "slow",
            Copied::Crowded => "crowded",
            Copied::Abandoned => "abandoned",
        }
    }
}

/// Counters of a service's mirrored requests, by outcome.
#[derive(Debug)]
pub struct CopyCounts([WorkerCounter; Copied::ALL.len()]);

impl CopyCounts {
    /// Zero, for this many workers.
    pub fn new(workers: usize) -> CopyCounts {
        CopyCounts(Copied::ALL.map(|_| WorkerCounter::new(workers)))
    }

    /// Counts an outcome. Only worker `worker` may pass its number.
    pub fn increment(&self, copied: Copied, worker: usize) {
        self.0[copied as usize].increment(worker);
    }

    /// Sums over all workers by discriminant; `None` if nothing was ever copied.
    pub fn totals(&self) -> Option<[u64; Copied::ALL.len()]> {
        let totals = Copied::ALL.map(|copied| self.0[copied as usize].total());
        totals.iter().any(|total| *total > 0).then_some(totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_a_count_of_its_own() {
        let counts = CopyCounts::new(2);
        assert_eq!(counts.totals(), None);
        for (number, copied) in Copied::ALL.into_iter().enumerate() {
            assert_eq!(copied as usize, number);
            (0..=number).for_each(|_| counts.increment(copied, number % 2));
        }
        assert_eq!(counts.totals(), Some([1, 2, 3, 4, 5]));
    }
}
