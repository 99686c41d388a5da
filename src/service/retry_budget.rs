//! Retry budget: limits retries and hedges of a service to a share of its requests, in the whole
//! process, so that backends that fail are not sent a multiple of their load.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::model::Time;
use crate::stats::of_worker;

/// Length of the sliding window.
const SECONDS: u64 = 10;

/// Slots of whole seconds in which retries are counted: one more, as the first and the last are
/// seldom whole, so that no ten seconds have too many.
const SPENT: usize = SECONDS as usize + 1;

/// How many retries and hedges a service may have: the greater of the two limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudgetSettings {
    /// Retries for each request of the last ten seconds, in ten-thousandths.
    pub ratio: u32,
    /// Retries per second.
    pub min_per_second: u32,
}

impl RetryBudgetSettings {
    /// The defaults.
    pub const fn usual() -> RetryBudgetSettings {
        RetryBudgetSettings { ratio: 2000, min_per_second: 10 }
    }

    /// Retries allowed in ten seconds with this many requests.
    fn allowed(self, requests: u64) -> u64 {
        let share = requests.saturating_mul(self.ratio.into()) / 10_000;
        share.max(u64::from(self.min_per_second) * SECONDS)
    }
}

/// The retry budget of a service.
#[derive(Debug)]
pub struct RetryBudget {
    /// Requests, by the worker that counts them.
    requests: Box<[Window<{ SECONDS as usize }>]>,
    /// Retries and hedges of all workers.
    spent: Window<SPENT>,
}

impl RetryBudget {
    /// A full budget.
    pub fn new(workers: usize) -> RetryBudget {
        let requests = (0..workers.max(1)).map(|_| Window::default()).collect();
        RetryBudget { requests, spent: Window::default() }
    }

    /// Counts a request. Only worker `worker` may pass its number.
    #[inline]
    pub fn deposit(&self, worker: usize, now: Time) {
        of_worker(&self.requests, worker).count(now);
    }

    /// Whether one more retry is allowed; counts it if so.
    pub fn withdraw(&self, settings: RetryBudgetSettings, now: Time) -> bool {
        // Counted first, so that workers that retry at the same time do not exceed it together.
        self.spent.add(now);
        let granted = self.spent.sum(now) <= self.allowed(settings, now);
        if !granted {
            self.spent.take_back(now);
        }
        granted
    }

    /// Retries that are left now.
    pub fn left(&self, settings: RetryBudgetSettings, now: Time) -> u64 {
        self.allowed(settings, now).saturating_sub(self.spent.sum(now))
    }

    fn allowed(&self, settings: RetryBudgetSettings, now: Time) -> u64 {
        settings.allowed(self.requests.iter().map(|window| window.sum(now)).sum())
    }
}

/// Counts of the last seconds, one a second: the second in the upper half, the count in the lower.
/// Aligned, so that workers do not share cache lines.
#[derive(Debug)]
#[repr(align(64))]
struct Window<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Window<N> {
    fn default() -> Window<N> {
        Window(std::array::from_fn(|_| AtomicU64::default()))
    }
}

impl<const N: usize> Window<N> {
    /// Counts one, as the only writer.
    #[inline]
    fn count(&self, now: Time) {
        let (slot, second) = self.slot(now);
        slot.store(increased(slot.load(Relaxed), second), Relaxed);
    }

    /// Counts one; others may write too.
    fn add(&self, now: Time) {
        let (slot, second) = self.slot(now);
        let update = |before| Some(increased(before, second));
        let _ = slot.fetch_update(Relaxed, Relaxed, update); // always succeeds
    }

    /// Uncounts one that was counted this second.
    fn take_back(&self, now: Time) {
        let (slot, second) = self.slot(now);
        let update =
            |before: u64| (before >> 32 == second && before & COUNT > 0).then(|| before - 1);
        let _ = slot.fetch_update(Relaxed, Relaxed, update); // else the second is over
    }

    fn sum(&self, now: Time) -> u64 {
        let second = second(now);
        let recent = |slot: &AtomicU64| {
            let value = slot.load(Relaxed);
            let is_recent = value >> 32 <= second && second - (value >> 32) < N as u64;
            if is_recent { value & COUNT } else { 0 }
        };
        self.0.iter().map(recent).sum()
    }

    #[inline]
    fn slot(&self, now: Time) -> (&AtomicU64, u64) {
        let second = second(now);
        (&self.0[(second % N as u64) as usize], second)
    }
}

const COUNT: u64 = u32::MAX as u64;

/// Seconds since the clock's start, counted from 1, as 0 stands for an unused slot.
fn second(now: Time) -> u64 {
    now.as_millis() / 1000 + 1
}

fn increased(before: u64, second: u64) -> u64 {
    let count = if before >> 32 == second { before & COUNT } else { 0 };
    (second << 32) | (count + 1).min(COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: RetryBudgetSettings = RetryBudgetSettings::usual();

    fn granted(budget: &RetryBudget, now: Time) -> usize {
        (0..10_000).take_while(|_| budget.withdraw(USUAL, now)).count()
    }

    fn at(second: u64) -> Time {
        Time::from_millis(second * 1000)
    }

    #[test]
    fn a_fifth_of_the_last_ten_seconds_or_ten_a_second() {
        let budget = RetryBudget::new(2);
        assert_eq!(granted(&budget, at(0)), 100);
        (0..2000).for_each(|n| budget.deposit(n % 2, at(5)));
        assert_eq!(budget.left(USUAL, at(5)), 300);
        assert_eq!(granted(&budget, at(6)), 300);
        assert_eq!(granted(&budget, at(9)), 0);
        assert_eq!(granted(&budget, at(10)), 0, "ten seconds are not over");
        assert_eq!(granted(&budget, at(11)), 100, "the first retries are forgotten");
        assert_eq!(granted(&budget, at(15)), 0, "and so are now the requests");
        assert_eq!(granted(&budget, at(1000)), 100);
    }

    #[test]
    fn nothing_is_allowed_where_nothing_may_be() {
        let budget = RetryBudget::new(1);
        let none = RetryBudgetSettings { ratio: 0, min_per_second: 0 };
        budget.deposit(0, at(1));
        assert!(!budget.withdraw(none, at(1)));
        assert_eq!(budget.left(USUAL, at(1)), 100, "what was refused is not spent");
        let all = RetryBudgetSettings { ratio: 10_000, min_per_second: 0 };
        assert!(budget.withdraw(all, at(1)) && !budget.withdraw(all, at(1)));
    }

    #[test]
    fn workers_that_retry_at_the_same_time_do_not_exceed_it() {
        let budget = RetryBudget::new(1);
        let granted = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mine = (0..1000).filter(|_| budget.withdraw(USUAL, at(1))).count();
                    granted.fetch_add(mine, Relaxed);
                });
            }
        });
        assert!(granted.into_inner() <= 100);
    }
}
