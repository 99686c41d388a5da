//! What services are given to live on.

use std::sync::Arc;

use tokio::runtime;

use super::Builders;
use crate::clock::Clock;
use crate::health::Board;
use crate::model::stable_hash;
use crate::tasks::Tasks;

/// What services are given to live on.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The workers that carry their requests.
    pub workers: usize,
    /// Where their writers run.
    pub runtime: runtime::Handle,
    /// Who sees their writers end.
    pub tasks: Arc<Tasks>,
    /// Where their pickers are built.
    pub builders: Builders,
    /// What is known of the health of their backends.
    pub health: Arc<Board>,
    /// What tells the time, here and for the workers.
    pub clock: Clock,
    /// What each draws follows from this and its name.
    pub seed: u64,
}

impl Environment {
    /// The generator of random numbers of this service.
    pub(super) fn rng(&self, service: &str) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed ^ stable_hash(service.as_bytes(), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_drawn_follows_from_the_seed_and_the_name() {
        let of = |seed, service| {
            let runtime = runtime::Handle::current();
            let (tasks, clock) = (Arc::default(), Clock::start());
            let (builders, health) = (Builders::in_place(), Board::new(clock));
            let environment =
                Environment { workers: 1, runtime, tasks, builders, health, clock, seed };
            environment.rng(service).u64(..)
        };
        assert_eq!(of(1, "orders"), of(1, "orders"));
        assert_ne!(of(1, "orders"), of(1, "users"));
        assert_ne!(of(1, "orders"), of(2, "orders"));
    }
}
