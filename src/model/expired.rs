//! Requests whose time was up, by how far they had come, and how many of them.

use crate::stats::WorkerCounter;

/// How far a request had come when its time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// No backend had it.
    Unsent,
    /// A backend had it, and the head of a response was waited for.
    Head,
    /// The response had begun.
    Body,
    /// As before, with a second message: its route has cut what is likely a stream.
    Stream,
}

impl Expired {
    /// All of them, in the order of their numbers.
    pub const ALL: [Expired; 4] = [Expired::Unsent, Expired::Head, Expired::Body, Expired::Stream];

    /// The value of the metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Expired::Unsent => "unsent",
            Expired::Head => "head",
            Expired::Body => "body",
            Expired::Stream => "stream",
        }
    }
}

/// The requests of a service whose time was up, by how far they had come.
#[derive(Debug)]
pub struct ExpiredCounts([WorkerCounter; Expired::ALL.len()]);

impl ExpiredCounts {
    /// None yet, for this many workers.
    pub fn new(workers: usize) -> ExpiredCounts {
        ExpiredCounts(Expired::ALL.map(|_| WorkerCounter::new(workers)))
    }

    /// Counts one. Only worker `worker` may call this with its number.
    pub fn increment(&self, expired: Expired, worker: usize) {
        self.0[expired as usize].increment(worker);
    }

    /// The sums over all workers.
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
