//! Timed-out requests, counted by the phase they had reached.

use crate::stats::WorkerCounter;

/// The phase in which a request timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Before any backend had it.
    Unsent,
    /// While waiting for a backend's response head.
    Head,
    /// While receiving the response body.
    Body,
    /// As `Body`, after a second message: a route's timeout has likely cut a stream.
    Stream,
}

impl Expired {
    /// All phases, in the order of their discriminants.
    pub const ALL: [Expired; 4] = [Expired::Unsent, Expired::Head, Expired::Body, Expired::Stream];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Expired::Unsent => "unsent",
            Expired::Head => "head",
            Expired::Body => "body",
            Expired::Stream => "stream",
        }
    }
}

/// Counters of a service's timed-out requests, by phase.
#[derive(Debug)]
pub struct ExpiredCounts([WorkerCounter; Expired::ALL.len()]);

impl ExpiredCounts {
    /// Zero, for this many workers.
    pub fn new(workers: usize) -> ExpiredCounts {
        ExpiredCounts(Expired::ALL.map(|_| WorkerCounter::new(workers)))
    }

    /// Counts a timeout. Only worker `worker` may pass its number.
    pub fn increment(&self, expired: Expired, worker: usize) {
        self.0[expired as usize].increment(worker);
    }

    /// Sums over all workers.
    pub fn totals(&self) -> impl Iterator<Item = (Expired, u64)> {
        Expired::ALL.into_iter().map(|expired| (expired, self.0[expired as usize].total()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_a_count_of_its_own() {
        let counts = ExpiredCounts::new(2);
        for (number, expired) in Expired::ALL.into_iter().enumerate() {
            assert_eq!(expired as usize, number);
            (0..=number).for_each(|_| counts.increment(expired, number % 2));
        }
        let totals: Vec<u64> = counts.totals().map(|(_, total)| total).collect();
        assert_eq!(totals, [1, 2, 3, 4]);
    }
}
