//! Policy stages of a route (middleware): each may delay or reject a request between routing and
//! picking.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::super::failure::Failure;
use super::rate_limit::RateLimitStage;
use super::start::AttemptError;
use super::{Admitted, Destination, Exchange};
use crate::route::Policies;

/// A stage's pending decision. Boxed, as few requests wait and its state would enlarge every
/// exchange.
pub type Delay<'x> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'x>>;

/// A policy stage of a route.
pub trait Stage {
    /// Admits the exchange, at once or after a delay, or rejects it.
    fn admit<'x>(&'x self, exchange: &'x Exchange) -> Result<Option<Delay<'x>>, Failure>;
}

/// The stages of one route on one worker, in order.
pub type Stages = Box<[Box<dyn Stage>]>;

/// The stages for the policies of a route.
pub fn stages(policies: &Policies) -> Stages {
    let limit = policies.rate_limit.iter();
    limit.map(|limit| Box::new(RateLimitStage(Arc::clone(limit))) as Box<dyn Stage>).collect()
}

impl Exchange {
    /// Passes the stages of the route, and the limits of the service.
    pub(super) async fn enter(&self, destination: &Destination) -> Result<(), AttemptError> {
        for stage in destination.stages() {
            if let Some(delay) = stage.admit(self)? {
                delay.await?;
            }
        }
        match self.admit(destination) {
            Admitted::Yes => Ok(()),
            Admitted::No(failure) => Err(failure.into()),
            // Boxed: it is rare, and its state would enlarge every exchange's future.
            Admitted::Waits(wait) => Box::pin(self.wait_for_permit(destination, *wait)).await,
        }
    }
}
