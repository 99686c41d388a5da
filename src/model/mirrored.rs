//! Outcomes of mirrored requests, and their counters.

use crate::stats::WorkerCounter;

/// How the copy of a mirrored request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorOutcome {
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

impl MirrorOutcome {
    /// All outcomes, in the order of their discriminants.
    pub const ALL: [MirrorOutcome; 5] = [
        MirrorOutcome::Answered,
        MirrorOutcome::Failed,
        MirrorOutcome::Slow,
        MirrorOutcome::Crowded,
        MirrorOutcome::Abandoned,
    ];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            MirrorOutcome::Answered => "answered",
            MirrorOutcome::Failed => "failed",
            MirrorOutcome::Slow => "slow",
            MirrorOutcome::Crowded => "crowded",
            MirrorOutcome::Abandoned => "abandoned",
        }
    }
}

/// Counters of a service's mirrored requests, by outcome.
#[derive(Debug)]
pub struct MirrorCounts([WorkerCounter; MirrorOutcome::ALL.len()]);

impl MirrorCounts {
    /// Zero, for this many workers.
    pub fn new(workers: usize) -> MirrorCounts {
        MirrorCounts(MirrorOutcome::ALL.map(|_| WorkerCounter::new(workers)))
    }

    /// Counts an outcome. Only worker `worker` may pass its number.
    pub fn increment(&self, outcome: MirrorOutcome, worker: usize) {
        self.0[outcome as usize].increment(worker);
    }

    /// Sums over all workers by discriminant; `None` if nothing was ever copied.
    pub fn totals(&self) -> Option<[u64; MirrorOutcome::ALL.len()]> {
        let totals = MirrorOutcome::ALL.map(|outcome| self.0[outcome as usize].total());
        totals.iter().any(|total| *total > 0).then_some(totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_a_count_of_its_own() {
        let counts = MirrorCounts::new(2);
        assert_eq!(counts.totals(), None);
        for (number, outcome) in MirrorOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number);
            (0..=number).for_each(|_| counts.increment(outcome, number % 2));
        }
        assert_eq!(counts.totals(), Some([1, 2, 3, 4, 5]));
    }
}
