//! Clients that keep a number of requests in flight, and shares that are held to weights.

use std::sync::Arc;

use super::cases::{CASES, simulated};
use super::simulation::{Backends, Service, Simulation, Summary};
use super::{Factory, configured, policy, set};

impl Simulation {
    /// The policy with its defaults, and backends that work on everything at once.
    pub fn named(name: &str, weights: &[u32], backends: Backends, seed: u64) -> Simulation {
        Simulation::of(configured(policy(name).unwrap()), weights, Service::new(backends), seed)
    }

    pub fn of(
        factory: Arc<dyn Factory>,
        weights: &[u32],
        service: Service,
        seed: u64,
    ) -> Simulation {
        Simulation::new(&*factory, set(weights), service, seed)
    }

    /// Keeps `concurrency` requests in flight until `requests` are answered.
    pub fn closed(mut self, concurrency: usize, requests: usize) -> Self {
        for _ in 0..concurrency {
            self.send();
        }
        for _ in 0..requests {
            assert!(self.receive(u64::MAX));
            self.send();
        }
        self
    }
}

/// Shares within two points of the weights, over 20,000 requests.
pub fn assert_by_weight(weights: &[u32], simulation: &Simulation, case: &str) {
    let total: u32 = weights.iter().sum();
    for (index, &weight) in weights.iter().enumerate() {
        let due = f64::from(weight) / f64::from(total);
        let share = simulation.share(index);
        assert!((share - due).abs() < 0.02, "{case} {weights:?}: {index} has {share:.3}");
    }
}

pub const SHARES: [&[u32]; 7] =
    [&[80, 20], &[1, 1, 1], &[3, 1], &[3, 2], &[6, 3, 1], &[1000, 1], &[5, 4, 3, 2, 1]];

#[test]
fn a_simulation_repeats_itself() {
    for case in &CASES {
        let run = || simulated(case, &*configured(policy("p2c_ewma").unwrap()), 1.0).summary();
        let Summary { mean, p50, p99, p999, failures } = run();
        assert_eq!(
            run(),
            Summary { mean, p50, p99, p999, failures },
            "{}: {}",
            case.name,
            case.about
        );
        assert!(p50 < mean && mean < p99 && p99 < p999 && failures < 0.01);
    }
}
