//! Policies in simulated time: a service whose backends behave as told, and clients that keep a
//! number of requests in flight or send at a rate.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Factory, PickCx, Picker, policy};
use super::{configured, set};
use crate::model::{EndpointSet, Time};

/// How a request to a backend goes.
#[derive(Clone, Copy)]
pub struct Answer {
    pub micros: f64,
    pub failed: bool,
}

/// A backend's answer to a request at a point of time, in seconds.
pub type Backends = fn(index: usize, seconds: f64) -> Answer;

pub const fn ok(micros: f64) -> Answer {
    let failed = false;
    Answer { micros, failed }
}

pub struct Simulation {
    pub set: Arc<EndpointSet>,
    picker: Box<dyn Picker>,
    backends: Backends,
    rng: fastrand::Rng,
    now: u64,
    /// Answers to come: when, from whom, after what time, whether failed.
    pending: BinaryHeap<Reverse<(u64, usize, u64, bool)>>,
    pub picks: Vec<u64>,
    latencies: Vec<u64>,
    pub jitter: fn(&mut fastrand::Rng) -> f64,
}

impl Simulation {
    pub fn new(name: &str, weights: &[u32], backends: Backends, seed: u64) -> Simulation {
        Simulation::of(configured(policy(name).unwrap()), weights, backends, seed)
    }

    pub fn of(
        factory: Arc<dyn Factory>,
        weights: &[u32],
        backends: Backends,
        seed: u64,
    ) -> Simulation {
        fastrand::seed(seed); // for policies that draw something when built
        let set = set(weights);
        Simulation {
            picker: factory.build(Arc::clone(&set)),
            picks: vec![0; set.len()],
            set,
            backends,
            rng: fastrand::Rng::with_seed(seed),
            now: 0,
            pending: BinaryHeap::new(),
            latencies: Vec::new(),
            jitter: |rng| 0.7 + 0.6 * rng.f64(),
        }
    }

    fn send(&mut self) {
        let cx = &mut PickCx {
            key: None,
            tried: &[],
            rng: &mut self.rng,
            now: Time::from_nanos(self.now),
        };
        let picked = self.picker.pick(cx);
        let answer = (self.backends)(picked, self.now as f64 / 1e9);
        let nanos = (answer.micros * 1e3 * (self.jitter)(&mut self.rng)) as u64;
        self.set.members()[picked].endpoint.load().begin();
        self.picks[picked] += 1;
        let due = self.now + nanos;
        self.pending.push(Reverse((due, picked, nanos, answer.failed)));
    }

    /// Goes on to the next answer, if there is one before `until`.
    fn receive(&mut self, until: u64) -> bool {
        let next = self.pending.peek().is_some_and(|Reverse((due, ..))| *due <= until);
        let Some(Reverse((due, index, nanos, failed))) = next.then(|| self.pending.pop()).flatten()
        else {
            return false;
        };
        self.now = due;
        let (now, rtt) = (Time::from_nanos(due), Duration::from_nanos(nanos));
        let load = self.set.members()[index].endpoint.load();
        load.end();
        if failed {
            load.observe_failure(rtt, now, self.set.ewma());
        } else {
            load.observe(rtt, now, self.set.ewma());
        }
        self.latencies.push(nanos);
        true
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

    /// Sends `rate` requests a second at random times until `seconds` after the start.
    pub fn open(mut self, rate: f64, seconds: f64) -> Self {
        self.reset();
        let end = (seconds * 1e9) as u64;
        let mut next = self.now;
        while next < end {
            while self.receive(next) {}
            self.now = next;
            self.send();
            next += (-(1.0 - self.rng.f64()).ln() / rate * 1e9) as u64;
        }
        self
    }

    fn reset(&mut self) {
        self.picks.fill(0);
        self.latencies.clear();
    }

    pub fn share(&self, index: usize) -> f64 {
        self.picks[index] as f64 / self.picks.iter().sum::<u64>() as f64
    }

    pub fn p99(&self) -> u64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        sorted[sorted.len() * 99 / 100]
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
