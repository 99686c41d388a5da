//! Cases in which policies differ, for the tests and for the bench `simulation`.

use std::time::Duration;

use super::simulation::{Answer, Service, Simulation, Streams, ok};
use super::{Factory, set};

/// Backends of the same weight.
pub const BACKENDS: usize = 20;
/// Requests that each works on at a time.
pub const SERVERS: usize = 4;
/// How long a request takes on average where nothing is wrong.
pub const MILLIS: f64 = 10.0;
/// Load, as a share of the capacity of all backends when healthy.
pub const LOAD: f64 = 0.7;
/// After this, clients give up.
pub const DEADLINE: Duration = Duration::from_secs(1);

/// Seconds before the measurement.
const WARM_UP: f64 = 5.0;

/// A service and its problem.
pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    pub service: fn() -> Service,
}

pub const CASES: [Case; 12] = [
    Case { name: "all equal", about: "Nothing is the matter.", service: || with(|_, _| well()) },
    Case {
        name: "one ten times as slow",
        about: "The first backend takes 100 ms for what the others do in 10.",
        service: || with(ten_times_as_slow),
    },
    Case {
        name: "a third half as fast",
        about: "The first seven backends take 20 ms: a fair share of the requests is more than they can do.",
        service: || with(half_as_fast),
    },
    Case {
        name: "one failing fast",
        about: "The first backend fails every request, within a millisecond.",
        service: || with(failing_fast),
    },
    Case {
        name: "bursts",
        about: "For a tenth of every half second, requests come twice as often: more than the backends can do.",
        service: || Service { tide: bursts, ..with(|_, _| well()) },
    },
    Case {
        name: "cheap and dear methods",
        about: "Nine of ten requests take 3.3 ms, the tenth 70, and nobody can tell which is which.",
        service: || Service { jitter: mixed, ..with(|_, _| well()) },
    },
    Case {
        name: "10 idle streams a backend",
        about: "Nothing is said on them.",
        service: || Service { streams: |_| idle(10), ..with(|_, _| well()) },
    },
    Case {
        name: "100 idle streams a backend",
        about: "Nothing is said on them.",
        service: || Service { streams: |_| idle(100), ..with(|_, _| well()) },
    },
    Case {
        name: "1,000 idle streams a backend",
        about: "Nothing is said on them.",
        service: || Service { streams: |_| idle(1_000), ..with(|_, _| well()) },
    },
    Case {
        name: "uneven idle streams",
        about: "The first backend has 1,000 streams open on which nothing is said, the others have 10.",
        service: || Service {
            streams: |index| idle(if index == 0 { 1_000 } else { 10 }),
            ..with(|_, _| well())
        },
    },
    Case {
        name: "streams that talk",
        about: "On streams to the first backend comes half of what it can do, and as much work for each message as for a call.",
        service: || Service { streams: talking, ..with(|_, _| well()) },
    },
    Case {
        name: "hiccups beside streams",
        about: "40 idle streams a backend, and the first fails every request for two seconds of every ten.",
        service: || Service { streams: |_| idle(40), ..with(hiccups) },
    },
];

/// Simulates the case under a policy: a warm-up, then this many seconds of measurement.
pub fn simulated(case: &Case, factory: &dyn Factory, seconds: f64) -> Simulation {
    let simulation = Simulation::new(factory, set(&[1; BACKENDS]), (case.service)(), 1);
    let rate = LOAD * (BACKENDS * SERVERS) as f64 / (MILLIS / 1e3);
    simulation.open(rate, WARM_UP).open(rate, WARM_UP + seconds)
}

fn with(backends: fn(usize, f64) -> Answer) -> Service {
    Service { jitter: spread, servers: SERVERS, deadline: DEADLINE, ..Service::new(backends) }
}

fn well() -> Answer {
    ok(MILLIS * 1e3)
}

fn ten_times_as_slow(index: usize, _: f64) -> Answer {
    ok(MILLIS * 1e3 * if index == 0 { 10.0 } else { 1.0 })
}

fn half_as_fast(index: usize, _: f64) -> Answer {
    ok(MILLIS * 1e3 * if index < BACKENDS.div_ceil(3) { 2.0 } else { 1.0 })
}

fn failing_fast(index: usize, _: f64) -> Answer {
    if index == 0 { Answer { micros: 1e3, failed: true } } else { well() }
}

fn hiccups(index: usize, seconds: f64) -> Answer {
    if seconds % 10.0 < 2.0 { failing_fast(index, seconds) } else { well() }
}

fn idle(open: u32) -> Streams {
    Streams { open, messages: 0.0 }
}

fn talking(index: usize) -> Streams {
    let half = SERVERS as f64 / (MILLIS / 1e3) / 2.0;
    if index == 0 { Streams { open: 100, messages: half } } else { idle(0) }
}

/// Twice as much for a tenth of a second, of every half: more than the backends can do.
fn bursts(seconds: f64) -> f64 {
    if seconds % 0.5 < 0.1 { 2.0 } else { 0.75 }
}

/// About log-normal, with a mean of 1: some take half of it, some three times as much.
fn spread(rng: &mut fastrand::Rng) -> f64 {
    let normal = 2.0 * (rng.f64() + rng.f64() + rng.f64() - 1.5);
    (0.5 * normal - 0.125).exp()
}

/// Nine of ten take a third, the tenth seven times as much.
fn mixed(rng: &mut fastrand::Rng) -> f64 {
    spread(rng) * if rng.u32(..10) == 0 { 7.0 } else { 1.0 / 3.0 }
}
