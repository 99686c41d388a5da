//! Counters of retries and hedges by their result, and of requests by their number of attempts.

use crate::stats::WorkerCounter;

/// The result of retrying a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryResult {
    /// The request was sent again, and succeeded.
    Success,
    /// The request was sent again, and failed in the end.
    Failure,
    /// It was sent again as no backend had begun it.
    Transparent,
    /// It was not sent again: the budget was spent.
    Budget,
    /// It was not sent again: its body was no longer buffered.
    Body,
    /// It was not sent again: an answer would have come after the deadline.
    Deadline,
    /// It was not sent again: the backend said so.
    Pushback,
}

impl RetryResult {
    /// All of them, in the order of their discriminants.
    pub const ALL: [RetryResult; 7] = [
        RetryResult::Success,
        RetryResult::Failure,
        RetryResult::Transparent,
        RetryResult::Budget,
        RetryResult::Body,
        RetryResult::Deadline,
        RetryResult::Pushback,
    ];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            RetryResult::Success => "success",
            RetryResult::Failure => "failure",
            RetryResult::Transparent => "transparent",
            RetryResult::Budget => "budget",
            RetryResult::Body => "body",
            RetryResult::Deadline => "deadline",
            RetryResult::Pushback => "pushback",
        }
    }
}

/// The result of a hedge, which is an attempt beside another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeResult {
    /// Its response reached the client.
    Won,
    /// Another attempt was answered first, and it was cancelled.
    Lost,
    /// It, or the attempt beside it, failed while the other went on.
    Failed,
    /// There was none: the budget was spent.
    Budget,
}

impl HedgeResult {
    /// All of them, in the order of their discriminants.
    pub const ALL: [HedgeResult; 4] =
        [HedgeResult::Won, HedgeResult::Lost, HedgeResult::Failed, HedgeResult::Budget];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            HedgeResult::Won => "won",
            HedgeResult::Lost => "lost",
            HedgeResult::Failed => "failed",
            HedgeResult::Budget => "budget",
        }
    }
}

/// Requests with this many attempts or more are counted together.
const ATTEMPTS: usize = 8;

/// Counters of a service's retries and hedges.
#[derive(Debug)]
pub struct RetryCounts {
    results: [WorkerCounter; RetryResult::ALL.len()],
    hedges: [WorkerCounter; HedgeResult::ALL.len()],
    /// Requests of routes with retries, by the attempts that they took.
    attempts: [WorkerCounter; ATTEMPTS],
}

impl RetryCounts {
    /// Zero, for this many workers.
    pub fn new(workers: usize) -> RetryCounts {
        RetryCounts {
            results: RetryResult::ALL.map(|_| WorkerCounter::new(workers)),
            hedges: HedgeResult::ALL.map(|_| WorkerCounter::new(workers)),
            attempts: std::array::from_fn(|_| WorkerCounter::new(workers)),
        }
    }

    /// Counts a result. Only worker `worker` may pass its number.
    pub fn count(&self, result: RetryResult, worker: usize) {
        self.results[result as usize].increment(worker);
    }

    /// As `count`, of a hedge.
    pub fn count_hedge(&self, result: HedgeResult, worker: usize) {
        self.hedges[result as usize].increment(worker);
    }

    /// Counts a request that took this many attempts, from 1 on.
    pub fn count_attempts(&self, attempts: u32, worker: usize) {
        let index = (attempts.max(1) as usize).min(ATTEMPTS) - 1;
        self.attempts[index].increment(worker);
    }

    /// Results, summed over all workers.
    pub fn totals(&self) -> impl Iterator<Item = (RetryResult, u64)> {
        RetryResult::ALL.into_iter().map(|result| (result, self.results[result as usize].total()))
    }

    /// Results of hedges, summed over all workers.
    pub fn hedges(&self) -> impl Iterator<Item = (HedgeResult, u64)> {
        HedgeResult::ALL.into_iter().map(|result| (result, self.hedges[result as usize].total()))
    }

    /// Requests that took 1, 2 and so on, and 8 or more attempts.
    pub fn attempts(&self) -> [u64; ATTEMPTS] {
        self.attempts.each_ref().map(WorkerCounter::total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_has_a_count_of_its_own() {
        let counts = RetryCounts::new(2);
        for (number, result) in RetryResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, number);
            (0..=number).for_each(|_| counts.count(result, number % 2));
        }
        let totals: Vec<u64> = counts.totals().map(|(_, total)| total).collect();
        assert_eq!(totals, [1, 2, 3, 4, 5, 6, 7]);
        for (number, result) in HedgeResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, number);
            (0..=number).for_each(|_| counts.count_hedge(result, number % 2));
        }
        let totals: Vec<u64> = counts.hedges().map(|(_, total)| total).collect();
        assert_eq!(totals, [1, 2, 3, 4]);
    }

    #[test]
    fn many_attempts_are_counted_as_eight() {
        let counts = RetryCounts::new(1);
        [0, 1, 2, 4, 9].iter().for_each(|attempts| counts.count_attempts(*attempts, 0));
        assert_eq!(counts.attempts(), [2, 1, 0, 1, 0, 0, 0, 1]);
    }
}
