//! What an exchange waits for at most. All of it is polled in one place.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use crate::model::Time;
use crate::net::{Sleep, Worker};

/// Which time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elapsed {
    /// Nothing came or left for too long.
    Idle,
    /// It had so long for all of it.
    Deadline,
}

/// The time-outs of one exchange. One that is not set never ends.
#[derive(Debug, Default)]
pub struct Timeouts {
    /// Without anything that comes or leaves.
    idle: Option<Duration>,
    /// For all of it.
    deadline: Option<Time>,
    /// Until the first of them may end. It is set late and moved seldom: most exchanges end long
    /// before.
    timer: Option<Sleep>,
}

impl Timeouts {
    /// From now on it may be idle for as long as each of these lets it.
    pub fn idle_within(&mut self, limits: impl IntoIterator<Item = Option<Duration>>) {
        self.idle = limits.into_iter().flatten().min();
    }

    /// Sets the end of all of it, if it has none yet.
    pub fn end_at(&mut self, deadline: Time) {
        if self.deadline.is_none() {
            (self.deadline, self.timer) = (Some(deadline), None);
        }
    }

    /// Which time is up, if any, when something last came or left at `active`. Has the task of
    /// `cx` look again when that may have changed.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        active: impl Fn() -> Time,
    ) -> Option<Elapsed> {
        if self.idle.is_none() && self.deadline.is_none() {
            return None;
        }
        loop {
            if let Some(timer) = &mut self.timer {
                if Pin::new(timer).poll(cx).is_pending() {
                    return None;
                }
                if let Some(elapsed) = self.elapsed(worker.now(), active()) {
                    return Some(elapsed);
                }
            }
            self.timer = Some(worker.sleep(self.left(worker.now(), active())));
        }
    }

    fn elapsed(&self, now: Time, active: Time) -> Option<Elapsed> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Some(Elapsed::Deadline);
        }
        let idle = self.idle.is_some_and(|idle| now.since(active) >= idle);
        idle.then_some(Elapsed::Idle)
    }

    fn left(&self, now: Time, active: Time) -> Duration {
        let idle = self.idle.map(|idle| idle.saturating_sub(now.since(active)));
        let deadline = self.deadline.map(|deadline| deadline.since(now));
        idle.into_iter().chain(deadline).min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_first_to_end_counts() {
        let mut timeouts = Timeouts::default();
        let within = |seconds| Some(Duration::from_secs(seconds));
        timeouts.idle_within([within(11), None, within(10)]);
        assert_eq!(timeouts.left(at(3), at(1)), Duration::from_secs(8));
        assert_eq!(timeouts.elapsed(at(10), at(1)), None);
        assert_eq!(timeouts.elapsed(at(11), at(1)), Some(Elapsed::Idle));
        timeouts.end_at(at(5));
        timeouts.end_at(at(9));
        assert_eq!(timeouts.left(at(3), at(3)), Duration::from_secs(2));
        assert_eq!(timeouts.left(at(7), at(7)), Duration::ZERO);
        assert_eq!(timeouts.elapsed(at(4), at(3)), None);
        assert_eq!(timeouts.elapsed(at(5), at(3)), Some(Elapsed::Deadline));
    }

    #[test]
    fn what_is_not_set_never_ends() {
        let mut timeouts = Timeouts::default();
        timeouts.idle_within([None, None]);
        assert_eq!(timeouts.elapsed(at(1_000_000), at(0)), None);
    }
}
