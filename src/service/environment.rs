//! Dependencies of services, passed in at their start.

use std::sync::Arc;

use tokio::runtime;

use super::BuildPool;
use crate::clock::Clock;
use crate::discovery::Discovery;
use crate::health::HealthMonitor;
use crate::model::stable_hash;
use crate::tasks::Tasks;

/// Dependencies of services, passed in at their start.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Number of workers, for per-worker counters.
    pub workers: usize,
    /// Runtime of the writers.
    pub runtime: runtime::Handle,
    /// Supervisor of the writers.
    pub tasks: Arc<Tasks>,
    /// Thread pool for building pickers.
    pub build_pool: BuildPool,
    /// Health checks of all backends.
    pub health: Arc<HealthMonitor>,
    /// Sources of backends.
    pub discovery: Arc<Discovery>,
    /// The clock, which the workers share.
    pub clock: Clock,
    /// Random seed; each service derives its own from this and its name.
    pub seed: u64,
}

impl Environment {
    /// The random number generator of a service.
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
            let (tasks, clock) = (Arc::<Tasks>::default(), Clock::start());
            let (build_pool, health) = (BuildPool::in_place(), HealthMonitor::new(clock));
            let discovery = Discovery::here(&tasks, clock, seed);
            let environment = Environment {
                workers: 1,
                runtime,
                tasks,
                build_pool,
                health,
                discovery,
                clock,
                seed,
            };
            environment.rng(service).u64(..)
        };
        assert_eq!(of(1, "orders"), of(1, "orders"));
        assert_ne!(of(1, "orders"), of(1, "users"));
        assert_ne!(of(1, "orders"), of(2, "orders"));
    }
}
