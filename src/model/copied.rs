//! How copies of requests for a mirror ended, and how many of them.

use crate::stats::WorkerCounter;

/// How the copy of a request for a mirror ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The mirror had all of it and has answered, whatever.
    Answered,
    /// No backend could be reached, or it broke off.
    Failed,
    /// Too much of the body waited for the mirror, or its answer did not come.
    Slow,
    /// So many copies were under way that this one was not begun.
    Crowded,
    /// The original was given up, or over before its body had come.
    Abandoned,
}

impl Copied {
    /// All of them, in the order of their numbers.
    pub const ALL: [Copied; 5] =
        [Copied::Answered, Copied::Failed, Copied::Slow, Copied::Crowded, Copied::Abandoned];

    /// The value of the metric's label.
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

/// The copies that a service got, by how they ended.
#[derive(Debug)]
pub struct CopyCounts([WorkerCounter; Copied::ALL.len()]);

impl CopyCounts {
    /// None yet, for this many workers.
    pub fn new(workers: usize) -> CopyCounts {
        CopyCounts(Copied::ALL.map(|_| WorkerCounter::new(workers)))
    }

    /// Counts one. Only worker `worker` may call this with its number.
    pub fn increment(&self, copied: Copied, worker: usize) {
        self.0[copied as usize].increment(worker);
    }

    /// The sums over all workers in the order of their numbers, if there ever was a copy.
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
