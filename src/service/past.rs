//! Retention of removed backends, so that their last counts are still scraped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::model::{Endpoint, Time};

/// Maximum of retained backends over all services; beyond that the oldest are dropped first.
const MOST: u64 = 1000;

/// Retention of what was removed: bounded in time, and in number over all services.
#[derive(Debug)]
pub(super) struct Retention {
    time: Duration,
    /// Number of backends ever removed.
    ever: AtomicU64,
}

/// When something was removed, in time and in number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    at: Time,
    /// Number of backends ever removed by then.
    ever: u64,
}

impl Retention {
    /// Retains for this long.
    pub(super) fn new(time: Duration) -> Retention {
        Retention { time, ever: AtomicU64::new(0) }
    }

    /// Records the removal of so many backends.
    pub(super) fn depart(&self, backends: usize, now: Time) -> Departure {
        let backends = backends as u64;
        Departure { at: now, ever: self.ever.fetch_add(backends, Ordering::Relaxed) + backends }
    }

    /// Restarts the retention of something that is still in use.
    pub(super) fn postpone(&self, now: Time) -> Departure {
        self.depart(0, now)
    }

    /// Whether the retention has expired.
    pub(super) fn is_over(&self, left: Departure, now: Time) -> bool {
        let since = self.ever.load(Ordering::Relaxed).saturating_sub(left.ever);
        now.since(left.at) >= self.time || since >= MOST
    }
}

/// Removed endpoints of one service, the oldest first.
#[derive(Debug)]
pub(super) struct Past {
    retention: Arc<Retention>,
    left: VecDeque<(Departure, Arc<Endpoint>)>,
}

impl Past {
    /// Creates an empty list.
    pub(super) fn new(retention: Arc<Retention>) -> Past {
        Past { retention, left: VecDeque::new() }
    }

    /// Retains an endpoint that is removed now.
    pub(super) fn keep(&mut self, endpoint: Arc<Endpoint>, now: Time) {
        self.left.push_back((self.retention.depart(1, now), endpoint));
        self.forget(now);
    }

    /// Drops expired endpoints, unless they still have requests in flight.
    pub(super) fn forget(&mut self, now: Time) {
        let mut busy = Vec::new();
        while let Some((_, endpoint)) =
            self.left.pop_front_if(|(left, _)| self.retention.is_over(*left, now))
        {
            if !endpoint.load().is_idle() {
                busy.push((self.retention.postpone(now), endpoint));
            }
        }
        self.left.extend(busy);
    }

    /// All retained endpoints.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.left.iter().map(|(_, endpoint)| endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExchangeClass;

    fn endpoint(number: u64) -> Arc<Endpoint> {
        Arc::new(Endpoint::new(&format!("10.0.0.1:{number}"), 1, Time::ZERO))
    }

    fn past(time: u64) -> Past {
        Past::new(Arc::new(Retention::new(Duration::from_secs(time))))
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn they_are_kept_for_as_long_as_was_said() {
        let mut past = past(300);
        past.keep(endpoint(1), Time::ZERO);
        past.keep(endpoint(2), at(60));
        let mut kept_at = |seconds| {
            past.forget(at(seconds));
            past.endpoints().count()
        };
        assert_eq!([kept_at(299), kept_at(300), kept_at(359), kept_at(360)], [2, 1, 1, 0]);
    }

    #[test]
    fn none_is_kept_if_so_said() {
        let mut past = past(0);
        past.keep(endpoint(1), at(1));
        assert_eq!(past.endpoints().count(), 0);
    }

    #[test]
    fn who_has_something_in_flight_is_not_forgotten() {
        let (mut past, busy) = (past(300), endpoint(1));
        busy.load().begin(ExchangeClass::Call, Time::ZERO);
        past.keep(Arc::clone(&busy), Time::ZERO);
        past.forget(at(1000));
        busy.load().end(ExchangeClass::Call, Time::ZERO);
        past.forget(at(1299));
        assert_eq!(past.endpoints().count(), 1);
        past.forget(at(1300));
        assert_eq!(past.endpoints().count(), 0);
    }

    #[test]
    fn their_number_is_bounded_over_all_services_and_the_oldest_go_first() {
        let mut first = past(300);
        let mut second = Past::new(Arc::clone(&first.retention));
        (0..7).for_each(|number| first.keep(endpoint(number), Time::ZERO));
        (0..MOST - 3).for_each(|number| second.keep(endpoint(number), Time::ZERO));
        first.forget(Time::ZERO);
        assert_eq!(first.endpoints().count(), 3);
        assert_eq!(first.endpoints().next().unwrap().address(), "10.0.0.1:4");
        assert_eq!(second.endpoints().count() as u64, MOST - 3);
    }
}
