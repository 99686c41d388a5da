//! Retry budget: limits the retries of a service to a share of its recent requests, so that a
//! failing backend is not sent double the load, plus a small reserve.

use std::cell::RefCell;

use crate::model::Time;

/// Length of the sliding window.
const SECONDS: usize = 10;
/// One retry per this many requests.
const REQUESTS_PER_RETRY: u32 = 5;
/// Retries per second that are always allowed.
const RESERVE_PER_SECOND: u32 = 10;

/// The retry budget of one worker for one service.
#[derive(Debug, Default)]
pub struct RetryBudget(RefCell<SlidingWindow>);

#[derive(Debug, Default)]
struct SlidingWindow {
    /// The current second, since the start of the clock.
    second: u64,
    /// Indexed by second modulo [`SECONDS`].
    requests: [u32; SECONDS],
    retries: [u32; SECONDS],
}

impl RetryBudget {
    /// Counts a request.
    pub fn deposit(&self, now: Time) {
        let (window, slot) = (&mut *self.0.borrow_mut(), slot(now));
        window.advance_to(now);
        if let Some(requests) = window.requests.get_mut(slot) {
            *requests = requests.saturating_add(1);
        }
    }

    /// Whether a retry is allowed; counts it if so.
    pub fn withdraw(&self, now: Time) -> bool {
        let (window, slot) = (&mut *self.0.borrow_mut(), slot(now));
        window.advance_to(now);
        let sum = |counts: &[u32; SECONDS]| counts.iter().fold(0, |a: u32, b| a.saturating_add(*b));
        let allowed =
            RESERVE_PER_SECOND * SECONDS as u32 + sum(&window.requests) / REQUESTS_PER_RETRY;
        let granted = sum(&window.retries) < allowed;
        if granted && let Some(retries) = window.retries.get_mut(slot) {
            *retries += 1;
        }
        granted
    }
}

impl SlidingWindow {
    /// Clears the slots of the seconds since the last call.
    fn advance_to(&mut self, now: Time) {
        let current = now.as_millis() / 1000;
        if self.second >= current {
            return;
        }
        for second in (self.second + 1..=current).rev().take(SECONDS) {
            let slot = second as usize % SECONDS;
            (self.requests[slot], self.retries[slot]) = (0, 0);
        }
        self.second = current;
    }
}

fn slot(now: Time) -> usize {
    (now.as_millis() / 1000) as usize % SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(budget: &RetryBudget, now: Time) -> usize {
        (0..10_000).take_while(|_| budget.withdraw(now)).count()
    }

    #[test]
    fn a_fifth_and_a_reserve_of_the_last_ten_seconds() {
        let budget = RetryBudget::default();
        let at = |second: u64| Time::from_nanos(second * 1_000_000_000);
        assert_eq!(granted(&budget, at(0)), 100);
        (0..1000).for_each(|_| budget.deposit(at(5)));
        assert_eq!(granted(&budget, at(6)), 200);
        assert_eq!(granted(&budget, at(9)), 0);
        assert_eq!(granted(&budget, at(10)), 100, "the first retries are forgotten");
        assert_eq!(granted(&budget, at(15)), 0, "and so are now the requests");
        assert_eq!(granted(&budget, at(1000)), 100);
        assert_eq!(granted(&budget, at(999)), 0, "a clock that goes back changes nothing");
    }
}
