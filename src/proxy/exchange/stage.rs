//! What may refuse a request, or delay it, once its route is known and before a backend is picked.

use std::future::Future;
use std::pin::Pin;

use super::super::reject::Failure;
use super::{Destination, Exchange};
use crate::route::Policies;

/// A stage's answer that takes time. It is boxed, as few requests wait for one and all would carry
/// its state.
pub type Delay<'x> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'x>>;

/// One of the stages of a route.
pub trait Stage {
    /// Lets the exchange pass, at once or after a delay, or refuses it.
    fn pass<'x>(&'x self, exchange: &'x Exchange) -> Result<Option<Delay<'x>>, Failure>;
}

/// The stages of one route on one worker, in the order in which requests pass them.
pub type Stages = Box<[Box<dyn Stage>]>;

/// The stages that the policies of a route ask for.
pub fn stages(_: &Policies) -> Stages {
    Box::default() // no policy that there is so far has one
}

impl Exchange {
    /// Passes the stages of its route.
    pub(super) async fn pass_stages(&self, destination: &Destination) -> Result<(), Failure> {
        for stage in destination.stages() {
            if let Some(delay) = stage.pass(self)? {
                delay.await?;
            }
        }
        Ok(())
    }
}
