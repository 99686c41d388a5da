//! All timeouts of an exchange, polled in one place.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use crate::model::Time;
use crate::net::{Sleep, Worker};

/// Which timeout expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elapsed {
    /// The idle timeout: no bytes in either direction.
    Idle,
    /// The deadline of the whole exchange.
    Deadline(Limit),
}

/// Who set the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The caller, by `grpc-timeout`.
    Caller,
    /// The route's timeout.
    Route,
}

/// The timeouts of one exchange. One that is not set never expires.
#[derive(Debug, Default)]
pub struct Timeouts {
    /// Idle timeout.
    idle: Option<Duration>,
    /// Deadline of the whole exchange.
    deadline: Option<(Time, Limit)>,
    /// Timer for the earliest expiry. Created lazily and rearmed rarely, as most exchanges end long
    /// before.
    timer: Option<Sleep>,
}

impl Timeouts {
    /// Sets the idle timeout to the shortest of `limits`.
    pub fn idle_within(&mut self, limits: impl IntoIterator<Item = Option<Duration>>) {
        self.idle = limits.into_iter().flatten().min();
    }

    /// Sets the deadline, unless an earlier one is set.
    pub fn end_by(&mut self, deadline: Time, limit: Limit) {
        if self.deadline.is_none_or(|(before, _)| deadline < before) {
            (self.deadline, self.timer) = (Some((deadline, limit)), None);
        }
    }

    /// Removes the deadline.
    pub fn lift_deadline(&mut self) {
        self.deadline = None;
    }

    /// Switches to the final phase: the response is complete, and only the idle timeout limits how
    /// long the client takes to read it.
    pub fn answered(&mut self, limit: Option<Duration>) {
        self.lift_deadline();
        self.idle_within([limit]);
    }

    /// The deadline, if any.
    pub fn deadline(&self) -> Option<Time> {
        self.deadline.map(|(deadline, _)| deadline)
    }

    /// Who set the deadline, if it has passed.
    pub fn expired(&self, now: Time) -> Option<Limit> {
        let (_, limit) = self.deadline.filter(|(deadline, _)| now >= *deadline)?;
        Some(limit)
    }

    /// The timeouts of a mirrored copy: the same deadline, no idle timeout.
    pub fn for_mirror(&self) -> Timeouts {
        Timeouts { deadline: self.deadline, ..Timeouts::default() }
    }

    /// The timeout that expired, if any; `active` is the time of the last activity. Otherwise wakes
    /// the task of `cx` when one may expire.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        active: impl Fn() -> Time,
    ) -> Option<Elapsed> {
        if self.idle.is_none() && self.deadline.is_none() {
            return None;
        }
        // The timer may fire a tick late; nothing may begin after the deadline.
        if let Some(limit) = self.expired(worker.now()) {
            return Some(Elapsed::Deadline(limit));
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
        if let Some(limit) = self.expired(now) {
            return Some(Elapsed::Deadline(limit));
        }
        let idle = self.idle.is_some_and(|idle| now.since(active) >= idle);
        idle.then_some(Elapsed::Idle)
    }

    fn left(&self, now: Time, active: Time) -> Duration {
        let idle = self.idle.map(|idle| idle.saturating_sub(now.since(active)));
        let deadline = self.deadline().map(|deadline| deadline.since(now));
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
        timeouts.end_by(at(9), Limit::Caller);
        timeouts.end_by(at(5), Limit::Route);
        timeouts.end_by(at(5), Limit::Caller);
        assert_eq!(timeouts.deadline(), Some(at(5)));
        assert_eq!(timeouts.left(at(3), at(3)), Duration::from_secs(2));
        assert_eq!(timeouts.left(at(7), at(7)), Duration::ZERO);
        assert_eq!(timeouts.elapsed(at(4), at(3)), None);
        assert_eq!(timeouts.elapsed(at(5), at(3)), Some(Elapsed::Deadline(Limit::Route)));
        assert_eq!((timeouts.expired(at(4)), timeouts.expired(at(5))), (None, Some(Limit::Route)));
        timeouts.lift_deadline();
        assert_eq!(timeouts.elapsed(at(5), at(3)), None);
    }

    #[test]
    fn what_is_not_set_never_ends() {
        let mut timeouts = Timeouts::default();
        timeouts.idle_within([None, None]);
        assert_eq!(timeouts.elapsed(at(1_000_000), at(0)), None);
    }
}
