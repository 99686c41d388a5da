//! Policy stages of a route (middleware): each may delay or reject a request between routing and
//! picking.

use std::future::Future;
use std::pin::Pin;

use super::super::failure::Failure;
use super::{Destination, Exchange};
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
pub fn stages(_: &Policies) -> Stages {
    Box::default() // no policy has a stage yet
}

impl Exchange {
    /// Runs the stages of the route.
    pub(super) async fn run_stages(&self, destination: &Destination) -> Result<(), Failure> {
        for stage in destination.stages() {
            if let Some(delay) = stage.admit(self)? {
                delay.await?;
            }
        }
        Ok(())
    }
}
