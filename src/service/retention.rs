//! Retention of removed backends, so that their last counts are still scraped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::model::{Endpoint, Time};

/// Maximum of retained backends over all services; beyond that the oldest are dropped first.
const MAX_REMOVED: u64 = 1000;

/// Retention of what was removed: bounded in time, and in number over all services.
#[derive(Debug)]
pub(super) struct Retention {
    time: Duration,
    /// Number of backends ever removed.
    count: AtomicU64,
}

/// When something was removed: the time, and the number of removals by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Removal {
    at: Time,
    /// Number of backends ever removed by then.
    count: u64,
}

impl Retention {
    /// Retains for this long.
    pub(super) fn new(time: Duration) -> Retention {
        Retention { time, count: AtomicU64::new(0) }
    }

    /// Records the removal of this many backends.
    pub(super) fn record(&self, backends: usize, now: Time) -> Removal {
        let backends = backends as u64;
        Removal { at: now, count: self.count.fetch_add(backends, Ordering::Relaxed) + backends }
    }

    /// Restarts the retention of something that is still in use.
    pub(super) fn postpone(&self, now: Time) -> Removal {
        self.record(0, now)
    }

    /// Whether the retention has expired.
    pub(super) fn is_expired(&self, removal: Removal, now: Time) -> bool {
        let since = self.count.load(Ordering::Relaxed).saturating_sub(removal.count);
        now.since(removal.at) >= self.time || since >= MAX_REMOVED
    }
}

/// Removed endpoints of one service, the oldest first.
#[derive(Debug)]
pub(super) struct RemovedEndpoints {
    retention: Arc<Retention>,
    endpoints: VecDeque<(Removal, Arc<Endpoint>)>,
}

impl RemovedEndpoints {
    /// Creates an empty list.
    pub(super) fn new(retention: Arc<Retention>) -> RemovedEndpoints {
        RemovedEndpoints { retention, endpoints: VecDeque::new() }
    }

    /// Retains an endpoint that is removed now.
    pub(super) fn retain(&mut self, endpoint: Arc<Endpoint>, now: Time) {
        self.endpoints.push_back((self.retention.record(1, now), endpoint));
        self.drop_expired(now);
    }

    /// Drops expired endpoints, unless they still have requests in flight.
    pub(super) fn drop_expired(&mut self, now: Time) {
        let mut busy = Vec::new();
        while let Some((_, endpoint)) =
            self.endpoints.pop_front_if(|(removal, _)| self.retention.is_expired(*removal, now))
        {
            if !endpoint.load().is_idle() {
                busy.push((self.retention.postpone(now), endpoint));
            }
        }
        self.endpoints.extend(busy);
    }

    /// All retained endpoints.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.iter().map(|(_, endpoint)| endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExchangeClass;

    fn endpoint(number: u64) -> Arc<Endpoint> {
        Arc::new(Endpoint::new(&format!("10.0.0.1:{number}"), 1, Time::ZERO))
    }

    fn removed(time: u64) -> RemovedEndpoints {
        RemovedEndpoints::new(Arc::new(Retention::new(Duration::from_secs(time))))
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn removed_endpoints_are_retained_for_the_set_time() {
        let mut removed = removed(300);
        removed.retain(endpoint(1), Time::ZERO);
        removed.retain(endpoint(2), at(60));
        let mut kept_at = |seconds| {
            removed.drop_expired(at(seconds));
            removed.endpoints().count()
        };
        assert_eq!([kept_at(299), kept_at(300), kept_at(359), kept_at(360)], [2, 1, 1, 0]);
    }

    #[test]
    fn a_retention_of_zero_keeps_none() {
        let mut removed = removed(0);
        removed.retain(endpoint(1), at(1));
        assert_eq!(removed.endpoints().count(), 0);
    }

    #[test]
    fn an_endpoint_with_requests_in_flight_is_retained() {
        let (mut removed, busy) = (removed(300), endpoint(1));
        busy.load().begin(ExchangeClass::Call, Time::ZERO);
        removed.retain(Arc::clone(&busy), Time::ZERO);
        removed.drop_expired(at(1000));
        busy.load().end(ExchangeClass::Call, Time::ZERO);
        removed.drop_expired(at(1299));
        assert_eq!(removed.endpoints().count(), 1);
        removed.drop_expired(at(1300));
        assert_eq!(removed.endpoints().count(), 0);
    }

    #[test]
    fn their_number_is_bounded_over_all_services_and_the_oldest_go_first() {
        let mut first = removed(300);
        let mut second = RemovedEndpoints::new(Arc::clone(&first.retention));
        (0..7).for_each(|number| first.retain(endpoint(number), Time::ZERO));
        (0..MAX_REMOVED - 3).for_each(|number| second.retain(endpoint(number), Time::ZERO));
        first.drop_expired(Time::ZERO);
        assert_eq!(first.endpoints().count(), 3);
        assert_eq!(first.endpoints().next().unwrap().address(), "10.0.0.1:4");
        assert_eq!(second.endpoints().count() as u64, MAX_REMOVED - 3);
    }
}
