//! The stage of a route's rate limit.

use std::sync::Arc;

use super::super::caller::hash_of;
use super::super::failure::{Failure, Pushback};
use super::Exchange;
use super::stage::{Delay, Stage};
use crate::admission::RateLimit;

/// Lets through as many requests as the route's limit says, the rest is refused at once.
pub struct RateLimitStage(pub Arc<RateLimit>);

impl Stage for RateLimitStage {
    fn admit<'x>(&'x self, exchange: &'x Exchange) -> Result<Option<Delay<'x>>, Failure> {
        let RateLimitStage(limit) = self;
        let key = limit.settings().key.as_ref();
        let key = key.map(|key| hash_of(key, &exchange.front, &exchange.head.borrow()));
        let now = exchange.proxy.worker.now();
        let taken = limit.take(key.unwrap_or_default(), now);
        taken.map(|()| None).map_err(|wait| Failure::RateLimited(Pushback::of(wait)))
    }
}
