//! Policies in simulated time: a service whose backends behave as told, streams that are open to
//! them, and clients that keep a number of requests in flight or send at a rate. Used by the tests and by the bench
//! `simulation`, so it takes what it needs from the module above it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use super::{EndpointSet, ExchangeClass, Factory, PickCx, Picker, Time};

/// How a backend handles a request.
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

/// Streams that are open to a backend all the time.
#[derive(Clone, Copy, Default)]
pub struct Streams {
    pub open: u32,
    /// Messages a second on all of them together, each as much work as a call.
    pub messages: f64,
}

/// A simulated service and its clients.
#[derive(Clone, Copy)]
pub struct Service {
    pub backends: Backends,
    /// The factor on the time of an answer.
    pub jitter: fn(&mut fastrand::Rng) -> f64,
    /// Requests that a backend works on at a time; the others wait in the order they came.
    pub servers: usize,
    /// How long a request may take; then it is given up.
    pub deadline: Duration,
    /// Streams that are open to a backend.
    pub streams: fn(usize) -> Streams,
    /// The factor on the request rate at a point in time, in seconds.
    pub tide: fn(f64) -> f64,
}

impl Service {
    /// Backends that work on everything at once, and patient clients.
    pub fn new(backends: Backends) -> Service {
        Service {
            backends,
            jitter: |rng| 0.7 + 0.6 * rng.f64(),
            servers: 0,
            deadline: Duration::MAX,
            streams: |_| Streams::default(),
            tide: |_| 1.0,
        }
    }
}

/// A pending answer; ordered by time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    from: usize,
    after: u64,
    failed: bool,
    /// The deadline expired before the answer.
    given_up: bool,
}

pub struct Simulation {
    pub set: Arc<EndpointSet>,
    picker: Box<dyn Picker>,
    service: Service,
    rng: fastrand::Rng,
    now: u64,
    pending: BinaryHeap<Reverse<Due>>,
    /// When each of a backend's servers is free, the first one first.
    free: Vec<BinaryHeap<Reverse<u64>>>,
    /// When the next message comes on a backend's streams.
    messages: Vec<u64>,
    pub picks: Vec<u64>,
    latencies: Vec<u64>,
    failures: usize,
}

impl Simulation {
    pub fn new(
        factory: &dyn Factory,
        set: Arc<EndpointSet>,
        service: Service,
        seed: u64,
    ) -> Simulation {
        for (index, member) in set.members().iter().enumerate() {
            let Streams { open, messages } = (service.streams)(index);
            let load = member.endpoint.load();
            (0..open).for_each(|_| load.begin(ExchangeClass::Stream, Time::ZERO));
            load.streams().set_message_rate(messages);
        }
        Simulation {
            picker: factory.build(Arc::clone(&set), &mut fastrand::Rng::with_seed(seed)),
            picks: vec![0; set.len()],
            free: vec![std::iter::repeat_n(Reverse(0), service.servers).collect(); set.len()],
            messages: vec![0; set.len()],
            set,
            service,
            rng: fastrand::Rng::with_seed(seed),
            now: 0,
            pending: BinaryHeap::new(),
            latencies: Vec::new(),
            failures: 0,
        }
    }

    pub fn send(&mut self) {
        self.stream();
        let key = self.rng.u64(..).to_le_bytes();
        let cx = &mut PickCx {
            key: Some(&key),
            class: ExchangeClass::Call,
            tried: &[],
            rng: &mut self.rng,
            now: Time::from_nanos(self.now),
        };
        let picked = self.picker.pick(cx);
        self.set.members()[picked].endpoint.load().begin(ExchangeClass::Call, Time::ZERO);
        self.picks[picked] += 1;
        let answer = (self.service.backends)(picked, self.now as f64 / 1e9);
        let nanos = (answer.micros * 1e3 * (self.service.jitter)(&mut self.rng)) as u64;
        let due = self.due(picked, nanos, answer.failed);
        self.pending.push(Reverse(due));
    }

    /// Adds the work for the messages that have arrived on streams.
    fn stream(&mut self) {
        let now = self.now;
        for index in 0..self.set.len() {
            let rate = (self.service.streams)(index).messages;
            while rate > 0.0 && self.messages[index] <= now {
                self.now = self.messages[index];
                let answer = (self.service.backends)(index, self.now as f64 / 1e9);
                let nanos = answer.micros * 1e3 * (self.service.jitter)(&mut self.rng);
                self.due(index, nanos as u64, false);
                self.messages[index] += self.pause(rate);
            }
        }
        self.now = now;
    }

    /// Nanoseconds to the next event of a Poisson process.
    fn pause(&mut self, rate: f64) -> u64 {
        (-(1.0 - self.rng.f64()).ln() / rate * 1e9) as u64
    }

    /// When a request that is sent now to the backend `from`, and takes it `nanos`, is over.
    fn due(&mut self, from: usize, nanos: u64, failed: bool) -> Due {
        let last = self.now.saturating_add(nanos_of(self.service.deadline));
        let mut server = self.free[from].peek_mut();
        let begin = server.as_ref().map_or(self.now, |free| free.0.max(self.now));
        let at = (begin + nanos).min(last);
        // A request that is given up while it waits takes no server's time.
        if let Some(free) = &mut server
            && begin < last
        {
            free.0 = at;
        }
        Due { at, from, after: at - self.now, failed, given_up: at == last }
    }

    /// Goes on to the next answer, if there is one before `until`.
    pub fn receive(&mut self, until: u64) -> bool {
        let next = self.pending.peek().is_some_and(|Reverse(due)| due.at <= until);
        let Some(Reverse(due)) = next.then(|| self.pending.pop()).flatten() else {
            return false;
        };
        self.now = due.at;
        let (now, rtt) = (Time::from_nanos(due.at), Duration::from_nanos(due.after));
        let load = self.set.members()[due.from].endpoint.load();
        load.end(ExchangeClass::Call, Time::ZERO);
        if due.failed && !due.given_up {
            load.observe_failure(rtt, now, self.set.ewma());
        } else {
            load.observe(rtt, now, self.set.ewma());
        }
        self.latencies.push(due.after);
        self.failures += usize::from(due.failed || due.given_up);
        true
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
            let rate = rate * (self.service.tide)(next as f64 / 1e9);
            next += self.pause(rate);
        }
        self
    }

    fn reset(&mut self) {
        self.picks.fill(0);
        self.latencies.clear();
        self.failures = 0;
    }

    pub fn share(&self, index: usize) -> f64 {
        self.picks[index] as f64 / self.picks.iter().sum::<u64>() as f64
    }

    /// Of the requests that are over.
    pub fn summary(&self) -> Summary {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let count = sorted.len();
        let quantile = |per_mille: usize| sorted[count * per_mille / 1000] as f64 / 1e6;
        Summary {
            mean: sorted.iter().sum::<u64>() as f64 / count as f64 / 1e6,
            p50: quantile(500),
            p99: quantile(990),
            p999: quantile(999),
            failures: self.failures as f64 / count as f64,
        }
    }
}

/// Latencies in milliseconds, and the share of failures.
#[derive(Debug, PartialEq)]
pub struct Summary {
    pub mean: f64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub failures: f64,
}

fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
