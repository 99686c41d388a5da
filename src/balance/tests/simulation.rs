//! `p2c_ewma` in simulated time: a service whose backends behave as told, and clients that keep a
//! number of requests in flight or send at a rate.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use super::super::{PickCx, Picker, policy};
use super::{configured, set};
use crate::model::{EndpointSet, Time};

/// How a request to a backend goes.
#[derive(Clone, Copy)]
struct Answer {
    micros: f64,
    failed: bool,
}

/// A backend's answer to a request at a point of time, in seconds.
type Backends = fn(index: usize, seconds: f64) -> Answer;

const fn ok(micros: f64) -> Answer {
    let failed = false;
    Answer { micros, failed }
}

struct Simulation {
    set: Arc<EndpointSet>,
    picker: Box<dyn Picker>,
    backends: Backends,
    rng: fastrand::Rng,
    now: u64,
    /// Answers to come: when, from whom, after what time, whether failed.
    pending: BinaryHeap<Reverse<(u64, usize, u64, bool)>>,
    picks: Vec<u64>,
    latencies: Vec<u64>,
    jitter: fn(&mut fastrand::Rng) -> f64,
}

impl Simulation {
    fn new(name: &str, weights: &[u32], backends: Backends, seed: u64) -> Simulation {
        fastrand::seed(seed); // for policies that draw something when built
        let set = set(weights);
        Simulation {
            picker: configured(policy(name).unwrap()).build(Arc::clone(&set)),
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
    fn closed(mut self, concurrency: usize, requests: usize) -> Self {
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
    fn open(mut self, rate: f64, seconds: f64) -> Self {
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

    fn share(&self, index: usize) -> f64 {
        self.picks[index] as f64 / self.picks.iter().sum::<u64>() as f64
    }

    fn p99(&self) -> u64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        sorted[sorted.len() * 99 / 100]
    }
}

fn p2c(weights: &[u32], backends: Backends, seed: u64) -> Simulation {
    Simulation::new("p2c_ewma", weights, backends, seed)
}

/// Shares within two points of the weights, over 20,000 requests.
fn assert_by_weight(weights: &[u32], simulation: &Simulation, case: &str) {
    let total: u32 = weights.iter().sum();
    for (index, &weight) in weights.iter().enumerate() {
        let due = f64::from(weight) / f64::from(total);
        let share = simulation.share(index);
        assert!((share - due).abs() < 0.02, "{case} {weights:?}: {index} has {share:.3}");
    }
}

const SHARES: [&[u32]; 7] =
    [&[80, 20], &[1, 1, 1], &[3, 1], &[3, 2], &[6, 3, 1], &[1000, 1], &[5, 4, 3, 2, 1]];

#[test]
fn shares_follow_weights_at_any_concurrency() {
    for weights in SHARES {
        for concurrency in [1, 2, 4, 16, 64, 256] {
            for micros in [|_, _| ok(300.0), |_, _| ok(5_000.0)] {
                let done = p2c(weights, micros, 1).closed(concurrency, 20_000);
                assert_by_weight(weights, &done, &format!("{concurrency} in flight"));
            }
        }
    }
}

#[test]
fn neither_hiccups_nor_small_differences_overrule_the_weights() {
    let hiccup = |rng: &mut fastrand::Rng| {
        let scale = if rng.u32(0..500) == 0 { 60.0 } else { 1.0 };
        scale * (0.7 + 0.6 * rng.f64())
    };
    let heavy_tail = |rng: &mut fastrand::Rng| (2.0 * (rng.f64() + rng.f64() - 1.0)).exp();
    let a_little_slower: Backends = |index, _| ok(if index == 0 { 2_000.0 } else { 2_500.0 });
    let by_a_fraction_of_a_millisecond: Backends =
        |index, _| ok(if index == 0 { 200.0 } else { 400.0 });
    for concurrency in [1, 4, 16, 100] {
        let closed = |backends| p2c(&[80, 20], backends, 3).closed(concurrency, 20_000);
        for jitter in [hiccup, heavy_tail] {
            let mut simulation = p2c(&[80, 20], |_, _| ok(300.0), 3);
            simulation.jitter = jitter;
            let done = simulation.closed(concurrency, 20_000);
            assert_by_weight(&[80, 20], &done, "jitter");
        }
        for backends in [a_little_slower, by_a_fraction_of_a_millisecond] {
            assert_by_weight(&[80, 20], &closed(backends), "slower");
        }
    }
}

#[test]
fn a_backend_ten_times_as_slow_is_fled() {
    let from_the_start: Backends = |index, _| ok(if index == 0 { 50_000.0 } else { 5_000.0 });
    let after_a_while: Backends = |index, seconds| {
        let slow = index == 0 && seconds > 5.0;
        ok(if slow { 50_000.0 } else { 5_000.0 })
    };
    for members in [3, 5, 10, 20] {
        for backends in [from_the_start, after_a_while] {
            let weights = vec![1; members];
            let rate = 100.0 * members as f64;
            let run = |name| {
                let simulation = Simulation::new(name, &weights, backends, 5);
                simulation.open(rate, 6.0).open(rate, 16.0)
            };
            let (p2c, round_robin) = (run("p2c_ewma"), run("round_robin"));
            let of_fair = p2c.share(0) * members as f64;
            assert!(of_fair < 0.1, "{members}: {of_fair}");
            let p99 = p2c.p99() as f64 / round_robin.p99() as f64;
            assert!(p99 < 0.2, "{members}: {p99}");
        }
    }
}

#[test]
fn a_backend_that_fails_fast_is_fled_and_comes_back_when_it_recovers() {
    let backends: Backends = |index, seconds| {
        let failed = index == 0 && seconds < 60.0;
        let micros = if failed { 100.0 } else { 10_000.0 };
        Answer { micros, failed }
    };
    for members in [2, 3, 10] {
        for rate in [50.0, 500.0] {
            let p2c = p2c(&vec![1; members], backends, 7).open(rate, 1.0);
            let p2c = p2c.open(rate, 2.0);
            assert!(p2c.share(0) < 0.1, "in the second second: {}", p2c.share(0));
            let p2c = p2c.open(rate, 60.0);
            assert!(p2c.share(0) < 0.05, "for long: {}", p2c.share(0));
            let p2c = p2c.open(rate, 120.0).open(rate, 180.0);
            let of_fair = p2c.share(0) * members as f64;
            assert!((0.85..1.15).contains(&of_fair), "recovered: {of_fair}");
        }
    }
}

#[test]
fn a_backend_that_hangs_gets_no_more_than_a_few() {
    let backends: Backends = |index, seconds| {
        let hangs = index == 0 && seconds > 1.0;
        ok(if hangs { 1e9 } else { 5_000.0 })
    };
    let p2c = p2c(&[1, 1, 1], backends, 9).open(300.0, 1.0);
    let p2c = p2c.open(300.0, 11.0);
    assert!(p2c.picks[0] < 30, "{:?}", p2c.picks);
}

#[test]
fn on_rare_requests_weights_hold_and_a_failing_backend_is_fled() {
    let well: Backends = |_, _| ok(5_000.0);
    let p2c_well = p2c(&[80, 20], well, 11).open(0.2, 100_000.0);
    assert_by_weight(&[80, 20], &p2c_well, "rare");
    let failing: Backends = |index, _| Answer { micros: 5_000.0, failed: index == 1 };
    let p2c = p2c(&[80, 20], failing, 11).open(0.2, 100.0).open(0.2, 10_000.0);
    assert!(p2c.share(1) < 0.2 * 0.5, "{}", p2c.share(1));
}

#[test]
fn a_light_member_that_lost_is_not_tried_more_often_than_its_share() {
    let backends: Backends = |index, _| ok(if index == 1 { 100_000.0 } else { 1_000.0 });
    let p2c = p2c(&[999, 1], backends, 13).open(200.0, 100.0);
    assert!(p2c.share(1) < 0.001, "{}", p2c.share(1));
}

#[test]
fn a_newcomer_is_judged_by_its_first_answer() {
    let p2c = p2c(&[80, 20], |_, _| ok(500.0), 15);
    for _ in 0..1_000 {
        let load = p2c.set.members()[0].endpoint.load();
        load.observe(Duration::from_micros(500), Time::ZERO, p2c.set.ewma());
    }
    assert_by_weight(&[80, 20], &p2c.closed(4, 20_000), "newcomer");
}
