//! Timed-out requests, counted by the phase they had reached.

use crate::stats::WorkerCounter;

/// The phase in which a request timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutPhase {
    /// Before any backend had it.
    Unsent,
    /// While waiting for a backend's response head.
    Head,
    /// While receiving the response body.
    Body,
    /// As `Body`, after a second message: a route's timeout has likely cut a stream.
    Stream,
}

impl TimeoutPhase {
    /// All phases, in the order of their discriminants.
    pub const ALL: [TimeoutPhase; 4] =
        [TimeoutPhase::Unsent, TimeoutPhase::Head, TimeoutPhase::Body, TimeoutPhase::Stream];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            TimeoutPhase::Unsent => "unsent",
            TimeoutPhase::Head => "head",
            TimeoutPhase::Body => "body",
            TimeoutPhase::Stream => "stream",
        }
    }
}

/// Counters of a service's timed-out requests, by phase.
#[derive(Debug)]
pub struct TimeoutCounts([WorkerCounter; TimeoutPhase::ALL.len()]);

impl TimeoutCounts {
    /// Zero, for this many workers.
    pub fn new(workers: usize) -> TimeoutCounts {
        TimeoutCounts(TimeoutPhase::ALL.map(|_| WorkerCounter::new(workers)))
    }

    /// Counts a timeout. Only worker `worker` may pass its number.
    pub fn increment(&self, phase: TimeoutPhase, worker: usize) {
        self.0[phase as usize].increment(worker);
    }

    /// Sums over all workers.
    pub fn totals(&self) -> impl Iterator<Item = (TimeoutPhase, u64)> {
        TimeoutPhase::ALL.into_iter().map(|phase| (phase, self.0[phase as usize].total()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_a_count_of_its_own() {
        let counts = TimeoutCounts::new(2);
        for (number, phase) in TimeoutPhase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, number);
            (0..=number).for_each(|_| counts.increment(phase, number % 2));
        }
        let totals: Vec<u64> = counts.totals().map(|(_, total)| total).collect();
        assert_eq!(totals, [1, 2, 3, 4]);
    }
}
