//! Which backends are starting slowly, and since when: decided by values alone.

use std::sync::Arc;
use std::time::Duration;

use super::desired::{Backend, Desired};
use crate::balance::Ramp;
use crate::model::Time;

/// Without requests for so long, a backend has lost what makes it fast: caches, compiled code,
/// connections of its own.
const LONG_ABSENCE: Duration = Duration::from_secs(10);

/// When a backend began to take requests, or since when it takes none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    /// When its slow start began, if it had one; it may be over.
    started: Option<Time>,
    absence: Option<Absence>,
}

/// A time without requests: drained, of weight 0, unhealthy, down, suspect or ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Absence {
    since: Time,
    /// Its return is a slow start, however short it was.
    cold: bool,
}

impl Arrival {
    /// Of a backend of a service's first configuration, which takes requests at once: there is
    /// nobody else to take them.
    pub(super) fn at_start() -> Arrival {
        Arrival::default()
    }

    /// Of a backend that is added to others.
    pub(super) fn added(now: Time) -> Arrival {
        Arrival { started: None, absence: Some(Absence { since: now, cold: true }) }
    }

    /// What follows if it takes requests now, or none, and whether it is ejected.
    fn followed(self, takes: bool, ejected: bool, window: Duration, now: Time) -> Arrival {
        let Arrival { started, absence } = self;
        match (absence, takes) {
            (None, true) => self,
            (None, false) => {
                let unfinished = self.ramp(window, now).is_some();
                let absence = Absence { since: now, cold: ejected || unfinished };
                Arrival { started, absence: Some(absence) }
            }
            (Some(absence), false) => {
                let cold = absence.cold || ejected;
                Arrival { started, absence: Some(Absence { cold, ..absence }) }
            }
            (Some(Absence { since, cold }), true) => {
                let slowly = cold || now.since(since) >= LONG_ABSENCE;
                Arrival { started: if slowly { Some(now) } else { started }, absence: None }
            }
        }
    }

    /// Its slow start, if it is in the midst of one.
    fn ramp(self, window: Duration, now: Time) -> Option<Ramp> {
        Ramp::new(self.started.filter(|_| self.absence.is_none())?, window, now)
    }
}

impl Desired {
    /// Begins and ends slow starts. In a panic there is none: requests would go to backends that are
    /// unhealthy instead.
    pub(super) fn with_slow_starts(mut self) -> Desired {
        let (window, now) = (self.spec.slow_start, self.now());
        let panic_mode = self.backends.iter().any(|backend| backend.condition.in_panic);
        let backends = Arc::make_mut(&mut self.backends);
        for backend in &mut *backends {
            let (takes, ejected) = (backend.takes_requests(), backend.condition.ejected.is_some());
            backend.arrival = backend.arrival.followed(takes, ejected, window, now);
            backend.ramp = backend.arrival.ramp(window, now).filter(|_| !panic_mode);
        }
        let taking = backends.iter().filter(|backend| backend.takes_requests());
        // None if any has no ramp.
        let all: Option<Vec<Ramp>> = taking.map(|backend| backend.ramp).collect();
        if let Some(first) = all.into_iter().flatten().map(Ramp::since).min() {
            let beside = |backend: &mut Backend| {
                backend.ramp = backend.ramp.and_then(|ramp| ramp.beside(first));
            };
            backends.iter_mut().for_each(beside);
        }
        self
    }

    /// Whether any slow start is over that counts as one yet.
    pub(super) fn has_finished_slow_start(&self, now: Time) -> bool {
        self.backends.iter().filter_map(|backend| backend.ramp).any(|ramp| ramp.is_over(now))
    }
}

impl Backend {
    /// Whether it gets requests by its weight, and not one at a time.
    fn takes_requests(&self) -> bool {
        let serves = self.condition.is_available()
            || (self.condition.in_panic && self.condition.can_serve_in_panic());
        serves && !self.intent.is_taken_out() && self.intent.weight > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(20);

    /// Takes requests, or none, or is ejected, from a number of seconds on.
    #[derive(Clone, Copy)]
    enum It {
        Takes,
        IsOut,
        IsEjected,
    }

    /// When the slow start began that is under way at the last of these times.
    fn started(mut arrival: Arrival, course: &[(u64, It)]) -> Option<u64> {
        let mut now = Time::ZERO;
        for (seconds, it) in course {
            now = Time::from_millis(seconds * 1000);
            let (takes, ejected) = (matches!(it, It::Takes), matches!(it, It::IsEjected));
            arrival = arrival.followed(takes, ejected, WINDOW, now);
        }
        arrival.ramp(WINDOW, now).map(|ramp| ramp.since().as_secs())
    }

    #[test]
    fn a_slow_start_follows_an_addition_an_ejection_and_a_long_absence() {
        use It::{IsEjected, IsOut, Takes};
        let first = Arrival::at_start();
        assert_eq!(started(first, &[(0, Takes)]), None);
        assert_eq!(started(first, &[(50, Takes), (60, IsOut), (69, Takes)]), None, "not for long");
        assert_eq!(started(first, &[(60, IsOut), (70, Takes)]), Some(70));
        assert_eq!(started(first, &[(60, IsOut), (70, IsOut)]), None, "it takes none");
        assert_eq!(started(first, &[(60, IsEjected), (61, Takes)]), Some(61));
        let ejected_while_out = [(60, IsOut), (61, IsEjected), (62, IsOut), (63, Takes)];
        assert_eq!(started(first, &ejected_while_out), Some(63));
        assert_eq!(
            started(first, &[(60, IsEjected), (61, Takes), (81, Takes)]),
            None,
            "it is over"
        );
        let added = Arrival::added(Time::ZERO);
        assert_eq!(started(added, &[(0, Takes)]), Some(0));
        assert_eq!(started(added, &[(0, IsOut), (5, Takes)]), Some(5), "with its first request");
        let midst = [(0, Takes), (3, IsOut), (4, Takes)];
        assert_eq!(started(added, &midst), Some(4), "it had not finished");
        let later = [(0, Takes), (30, IsOut), (31, Takes)];
        assert_eq!(started(added, &later), None);
    }
}
