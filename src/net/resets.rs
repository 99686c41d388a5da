//! Sliding window counter of stream resets over 30 s.

use std::cell::Cell;

use crate::model::Time;

/// Buckets of one second, the current one included: they cover no less than 30 s.
const SECONDS: u64 = 31;

/// Resets in the last 30 to 31 s: never fewer than a peer counts in its own 30 s window.
#[derive(Debug)]
pub(super) struct Resets {
    by_second: [Cell<u32>; SECONDS as usize],
    total: Cell<u32>,
    /// The current second.
    second: Cell<u64>,
}

impl Resets {
    pub fn new() -> Resets {
        Resets { by_second: [const { Cell::new(0) }; _], total: Cell::new(0), second: Cell::new(0) }
    }

    /// Counts `more` resets now.
    pub fn add(&self, more: u32, now: Time) {
        self.pass_to(now.as_secs());
        if let Some(count) = self.at(self.second.get()) {
            count.set(count.get().saturating_add(more));
            self.total.set(self.total.get().saturating_add(more));
        }
    }

    /// The count within the window.
    pub fn recent(&self, now: Time) -> usize {
        if self.total.get() == 0 {
            return 0;
        }
        self.pass_to(now.as_secs());
        self.total.get() as usize
    }

    /// When the oldest of them leave the window.
    pub fn next_forgotten(&self) -> Option<Time> {
        let last = self.second.get();
        let mut seconds = (last + 1).saturating_sub(SECONDS)..=last;
        let oldest = seconds.find(|past| self.at(*past).is_some_and(|count| count.get() > 0))?;
        Some(Time::from_millis((oldest + SECONDS) * 1000))
    }

    /// Advances the window. Time does not go back.
    fn pass_to(&self, second: u64) {
        let from = self.second.get();
        if second <= from {
            return;
        }
        self.second.set(second);
        if self.total.get() == 0 {
            return;
        }
        for past in (from + 1..=second).take(SECONDS as usize) {
            if let Some(count) = self.at(past) {
                self.total.set(self.total.get().saturating_sub(count.take()));
            }
        }
    }

    fn at(&self, second: u64) -> Option<&Cell<u32>> {
        self.by_second.get((second % SECONDS) as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn no_30_seconds_have_more_than_is_counted() {
        let resets = Resets::new();
        let mut times = Vec::new();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut now = at(123_456);
        for _ in 0..20_000 {
            now = now + Duration::from_millis(rng.u64(..400) * rng.u64(..4).pow(4));
            let within = |span| times.iter().rev().take_while(|&&at| now.since(at) <= span).count();
            let counted = resets.recent(now);
            assert!(counted >= within(LONG), "{counted}");
            assert!(counted <= within(LONG + Duration::from_secs(1)), "{counted}");
            resets.add(1, now);
            times.push(now);
        }
    }

    #[test]
    fn a_burst_is_forgotten_as_a_whole() {
        let resets = Resets::new();
        resets.add(190, at(999));
        assert_eq!(resets.next_forgotten(), Some(at(31_000)));
        assert_eq!(resets.recent(at(30_999)), 190);
        assert_eq!(resets.recent(at(31_000)), 0);
        assert_eq!(resets.next_forgotten(), None);
        resets.add(3, at(1_000_000));
        assert_eq!(resets.recent(at(2_000_000)), 0, "after a long silence");
    }
}
