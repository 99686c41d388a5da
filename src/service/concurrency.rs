//! How many requests of a service may be in flight, and what becomes of those beyond.

use std::time::Duration;

use crate::model::CallerKey;

/// Limits of the requests in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// What is done with the limit of calls that is learnt.
    pub learning: LearningMode,
    /// Calls in flight, of the whole process.
    pub max_requests: Option<u32>,
    /// Calls in flight at one endpoint.
    pub per_endpoint: Option<u32>,
    /// Open streams, of the whole process.
    pub max_streams: Option<u32>,
    /// Calls that may wait for others to end.
    pub queue: u32,
    /// How long a call may wait.
    pub queue_timeout: Duration,
    /// Whose calls share: callers are told apart by this.
    pub caller: CallerKey,
    /// Shares of callers with another weight than 1, sorted by name.
    pub weights: Box<[(Box<str>, u32)]>,
    /// What refused calls are answered.
    pub refusal: Refusal,
}

/// What is done with the limit of calls that is learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LearningMode {
    /// Nothing is learnt.
    Off,
    /// It is shown, and what it would refuse is counted.
    #[default]
    Observe,
    /// It applies.
    Adaptive,
}

/// What a call is answered that is refused for want of room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusal {
    /// RESOURCE_EXHAUSTED; HTTP 429.
    #[default]
    ResourceExhausted,
    /// UNAVAILABLE; HTTP 503.
    Unavailable,
}

impl Concurrency {
    /// Default of `queue`.
    pub const QUEUE: u32 = 100;

    /// Default of `queue_timeout`.
    pub const QUEUE_TIMEOUT: Duration = Duration::from_millis(50);

    /// Default of `queue` where the limit is learnt.
    pub const LEARNED_QUEUE: u32 = 10_000;

    /// Default of `queue_timeout` where the limit is learnt.
    pub const LEARNED_QUEUE_TIMEOUT: Duration = Duration::from_millis(500);

    /// No limit, and nothing is refused.
    pub fn observing() -> Concurrency {
        Concurrency {
            learning: LearningMode::Observe,
            max_requests: None,
            per_endpoint: None,
            max_streams: None,
            queue: Concurrency::QUEUE,
            queue_timeout: Concurrency::QUEUE_TIMEOUT,
            caller: CallerKey::Client,
            weights: Box::default(),
            refusal: Refusal::default(),
        }
    }

    /// Whether anything may be refused.
    pub fn is_limited(&self) -> bool {
        let Concurrency { max_requests, per_endpoint, max_streams, learning, .. } = self;
        *learning == LearningMode::Adaptive
            || [max_requests, per_endpoint, max_streams].iter().any(|limit| limit.is_some())
    }

    /// Calls that may be in flight at this many endpoints together.
    pub fn call_limit(&self, endpoints: usize) -> Option<u32> {
        let each = self.per_endpoint.filter(|_| endpoints > 0);
        let all = each.map(|each| each.saturating_mul(endpoints.try_into().unwrap_or(u32::MAX)));
        let limits = [self.max_requests, all];
        limits.into_iter().flatten().min()
    }

    /// The weight of the caller with this key.
    pub fn weight(&self, caller: &[u8]) -> u32 {
        let found = self.weights.binary_search_by(|(name, _)| name.as_bytes().cmp(caller));
        found.map_or(1, |index| self.weights[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_limit_applies() {
        let of = |max_requests, per_endpoint| Concurrency {
            max_requests,
            per_endpoint,
            weights: Box::new([("b".into(), 2), ("d".into(), 4)]),
            ..Concurrency::observing()
        };
        assert_eq!(of(Some(12), Some(4)).call_limit(2), Some(8));
        assert_eq!(of(Some(12), Some(4)).call_limit(5), Some(12));
        assert_eq!(of(Some(12), Some(4)).call_limit(0), Some(12), "nothing can be in flight");
        assert_eq!(of(None, None).call_limit(3), None);
        assert_eq!([b"a", b"b", b"d"].map(|name| of(None, None).weight(name)), [1, 2, 4]);
    }
}
