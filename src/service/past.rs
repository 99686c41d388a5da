//! Backends that have left, for as long as what they counted last may not have been scraped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Endpoint, Time};

/// How long they are kept: some intervals of any Prometheus.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// The most that a service keeps; beyond that the first to leave is the first to be forgotten.
const MOST: usize = 1000;

/// Those that have left, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Past(VecDeque<(Time, Arc<Endpoint>)>);

impl Past {
    /// Keeps one that has left now.
    pub(super) fn keep(&mut self, endpoint: Arc<Endpoint>, now: Time) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((now, endpoint));
    }

    /// Forgets those that left long ago.
    pub(super) fn forget(&mut self, now: Time) {
        while self.0.front().is_some_and(|(left, _)| now.since(*left) > KEPT) {
            self.0.pop_front();
        }
    }

    /// Those that are kept.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.0.iter().map(|(_, endpoint)| endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(number: usize) -> Arc<Endpoint> {
        Arc::new(Endpoint::new(&format!("10.0.0.1:{number}"), 1, Time::ZERO))
    }

    #[test]
    fn they_are_kept_for_five_minutes() {
        let mut past = Past::default();
        past.keep(endpoint(1), Time::ZERO);
        past.keep(endpoint(2), Time::ZERO + Duration::from_secs(60));
        let mut kept_at = |seconds| {
            past.forget(Time::ZERO + Duration::from_secs(seconds));
            past.endpoints().count()
        };
        assert_eq!([kept_at(300), kept_at(301), kept_at(360), kept_at(361)], [2, 1, 1, 0]);
    }

    #[test]
    fn their_number_is_bounded_and_the_oldest_go_first() {
        let mut past = Past::default();
        (0..MOST + 7).for_each(|number| past.keep(endpoint(number), Time::ZERO));
        assert_eq!(past.endpoints().count(), MOST);
        assert_eq!(past.endpoints().next().unwrap().address(), "10.0.0.1:7");
    }
}
