//! Clients, a gateway's admission, and backends that hold a number of calls, by events.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use equipoise::admission::{Learned, Seen, class_of};

const BACKENDS: usize = 3;
const DEADLINE: f64 = 1.0;
const INTERVAL: f64 = 0.1;

/// What the gateway's queue has: see `src/admission/learning.rs` and `src/service/concurrency.rs`.
const BY_HAND: f64 = 0.8 * 0.05;
const BURST: f64 = 0.5;
const BURST_LASTS: f64 = 1.5;
const LASTING: f64 = 0.01;
const CALM: f64 = 1.0;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    None,
    ByHand,
    Learnt,
}

impl Limits {
    pub const ALL: [Limits; 3] = [Limits::None, Limits::ByHand, Limits::Learnt];

    pub fn name(self) -> &'static str {
        match self {
            Limits::None => "no limits",
            Limits::ByHand => "limits by hand",
            Limits::Learnt => "learnt limit",
        }
    }
}

pub struct Method {
    /// Of all calls.
    pub part: f64,
    /// Seconds, on average.
    pub takes: f64,
    /// Exponentially, rather than always the same.
    pub spread: bool,
}

#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// Times the capacity, by the time.
    pub load: fn(f64) -> f64,
    pub methods: &'static [Method],
    /// Calls that a backend holds, by its number and the time.
    pub slots: fn(usize, f64) -> usize,
    /// How many times as long calls take there.
    pub slowness: fn(usize, f64) -> f64,
}

#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Of the capacity, or of what was offered if that is less.
    pub goodput: f64,
    pub p99: f64,
    /// Of what was offered.
    pub refused: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Queued,
    AtBackend,
    Served,
    Over,
}

struct Call {
    came: f64,
    sent: f64,
    method: usize,
    takes: f64,
    backend: usize,
    class: usize,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
struct Time(f64);

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Time) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Time) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Comes,
    Ends(usize),
    Expires(usize),
    Interval,
}

struct World<'c> {
    case: &'c Case,
    times: f64,
    limits: Limits,
    warm: f64,
    rng: fastrand::Rng,
    now: f64,
    events: BinaryHeap<Reverse<(Time, Event)>>,
    calls: Vec<Call>,
    queue: VecDeque<usize>,
    /// Calls at each backend, and of these those that wait there.
    at: [usize; BACKENDS],
    waiting: [VecDeque<usize>; BACKENDS],
    in_flight: usize,
    learned: Learned,
    seen: Seen,
    interval: f64,
    /// Sum and number of the first calls of each method.
    references: Vec<(f64, u32)>,
    held: f64,
    waited: f64,
    waits_since: f64,
    offered: usize,
    refused: usize,
    answered: Vec<f64>,
}

pub fn run(case: &Case, limits: Limits, seconds: f64, warm: f64, seed: u64) -> Outcome {
    run_at(case, 0.0, limits, seconds, warm, seed)
}

/// Runs a case at so many times the capacity, or at its own load if that is 0.
pub fn run_at(
    case: &Case,
    times: f64,
    limits: Limits,
    seconds: f64,
    warm: f64,
    seed: u64,
) -> Outcome {
    let mut world = World {
        case,
        times,
        limits,
        warm,
        rng: fastrand::Rng::with_seed(seed),
        now: 0.0,
        events: BinaryHeap::new(),
        calls: Vec::new(),
        queue: VecDeque::new(),
        at: [0; BACKENDS],
        waiting: Default::default(),
        in_flight: 0,
        learned: Learned::default(),
        seen: Seen::default(),
        interval: 0.0,
        references: vec![(0.0, 0); case.methods.len()],
        held: 0.0,
        waited: -10.0,
        waits_since: 0.0,
        offered: 0,
        refused: 0,
        answered: Vec::new(),
    };
    world.after(0.0, Event::Comes);
    world.after(INTERVAL, Event::Interval);
    while let Some(Reverse((Time(at), event))) = world.events.pop() {
        if at > seconds {
            break;
        }
        world.now = at;
        world.take(event);
        world.send();
        world.serve();
    }
    world.outcome(seconds)
}

impl World<'_> {
    fn after(&mut self, seconds: f64, event: Event) {
        self.events.push(Reverse((Time(self.now + seconds), event)));
    }

    /// Calls a second that the backends answer.
    fn capacity(&self, at: f64) -> f64 {
        let takes: f64 = self.case.methods.iter().map(|method| method.part * method.takes).sum();
        let of =
            |backend| (self.case.slots)(backend, at) as f64 / (self.case.slowness)(backend, at);
        (0..BACKENDS).map(of).sum::<f64>() / takes
    }

    fn load(&self) -> f64 {
        let times = if self.times > 0.0 { self.times } else { (self.case.load)(self.now) };
        times * self.capacity(0.0)
    }

    fn limit(&self) -> usize {
        match self.limits {
            Limits::None => usize::MAX,
            Limits::ByHand => (0..BACKENDS).map(|backend| self.slots(backend)).sum(),
            Limits::Learnt => self.learned.limit().map_or(usize::MAX, |limit| limit as usize),
        }
    }

    /// What an operator has found that a backend holds.
    fn slots(&self, backend: usize) -> usize {
        (self.case.slots)(backend, 0.0)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Comes => self.come(),
            Event::Ends(call) => self.end(call),
            Event::Expires(call) => self.expire(call),
            Event::Interval => self.learn(),
        }
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.rng.f64()).ln()
    }

    fn come(&mut self) {
        let pause = self.exponential() / self.load();
        self.after(pause, Event::Comes);
        let mut drawn = self.rng.f64();
        let methods = self.case.methods;
        let method = methods.iter().position(|method| {
            drawn -= method.part;
            drawn < 0.0
        });
        let method = method.unwrap_or(methods.len() - 1);
        let spread = if methods[method].spread { self.exponential() } else { 1.0 };
        let takes = methods[method].takes * spread;
        let (came, stage) = (self.now, Stage::Queued);
        let call = Call { came, sent: 0.0, method, takes, backend: 0, class: 0, stage };
        let id = self.calls.len();
        self.calls.push(call);
        let counts = self.now > self.warm;
        self.offered += usize::from(counts);
        if self.is_admitted() {
            self.queue.push_back(id);
            self.after(DEADLINE, Event::Expires(id));
        } else {
            self.calls[id].stage = Stage::Over;
            self.refused += usize::from(counts);
        }
    }

    fn is_admitted(&mut self) -> bool {
        let limit = self.limit();
        if self.queue.is_empty() && self.in_flight < limit {
            return true;
        }
        self.seen.full = true;
        if self.now - self.waited > CALM {
            self.waits_since = self.now;
        }
        self.waited = self.now;
        let expected = (self.queue.len() + 1) as f64 * self.held / limit as f64;
        let left = 1.0 - (self.now - self.waits_since) / BURST_LASTS;
        match self.limits {
            Limits::Learnt => self.queue.len() < 2 || expected <= (BURST * left).max(LASTING),
            _ => expected <= BY_HAND,
        }
    }

    /// Sends those from the queue for which there is room.
    fn send(&mut self) {
        while self.in_flight < self.limit()
            && let Some(id) = self.queue.pop_front()
        {
            let (one, other) = (self.rng.usize(..BACKENDS), self.rng.usize(..BACKENDS - 1));
            let other = if other >= one { other + 1 } else { other };
            let mut backend = if self.at[one] <= self.at[other] { one } else { other };
            if self.limits == Limits::ByHand && self.at[backend] >= self.slots(backend) {
                backend = (0..BACKENDS).find(|it| self.at[*it] < self.slots(*it)).unwrap();
            }
            self.in_flight += 1;
            self.at[backend] += 1;
            self.waiting[backend].push_back(id);
            let (sent, class) = (self.now, class_of(self.in_flight as u32));
            let stage = Stage::AtBackend;
            self.calls[id] =
                Call { sent, backend, class, stage, ..std::mem::take(&mut self.calls[id]) };
        }
    }

    /// Backends begin with those for which they have a slot.
    fn serve(&mut self) {
        for backend in 0..BACKENDS {
            let slots = (self.case.slots)(backend, self.now);
            while self.at[backend] - self.waiting[backend].len() < slots
                && let Some(id) = self.waiting[backend].pop_front()
            {
                self.calls[id].stage = Stage::Served;
                let takes = self.calls[id].takes * (self.case.slowness)(backend, self.now);
                self.after(takes, Event::Ends(id));
            }
        }
    }

    fn end(&mut self, id: usize) {
        let Call { came, sent, method, class, stage, .. } = self.calls[id];
        if stage != Stage::Served {
            return;
        }
        self.leave_backend(id);
        let held = self.now - sent;
        self.held += if self.held > 0.0 { (held - self.held) / 32.0 } else { held };
        if self.now > self.warm {
            self.answered.push(self.now - came);
        }
        let (sum, count) = &mut self.references[method];
        if *count < 32 {
            (*sum, *count) = (*sum + held, *count + 1);
        }
        let ended = &mut self.seen.classes[class];
        ended.calls += 1;
        ended.held += held;
        ended.reference += *sum / f64::from(*count);
        self.learned.ended(held);
    }

    fn leave_backend(&mut self, id: usize) {
        let Call { backend, .. } = self.calls[id];
        self.calls[id].stage = Stage::Over;
        self.at[backend] -= 1;
        self.in_flight -= 1;
    }

    fn expire(&mut self, id: usize) {
        match self.calls[id].stage {
            Stage::Over => {}
            Stage::Queued => {
                self.queue.retain(|waits| *waits != id);
                self.calls[id].stage = Stage::Over;
            }
            Stage::AtBackend | Stage::Served => {
                let backend = self.calls[id].backend;
                self.waiting[backend].retain(|waits| *waits != id);
                self.leave_backend(id);
                self.seen.expired += 1;
            }
        }
    }

    fn learn(&mut self) {
        self.after(INTERVAL, Event::Interval);
        let seconds = self.now - self.interval;
        if self.seen.suffices(seconds) {
            self.seen.in_flight = self.in_flight as u32;
            self.learned.update(&self.seen, seconds);
            (self.seen, self.interval) = (Seen::default(), self.now);
        }
    }

    fn outcome(mut self, seconds: f64) -> Outcome {
        self.answered.sort_by(f64::total_cmp);
        let steps = (self.warm as usize..seconds as usize).map(|second| second as f64 + 0.5);
        let able: f64 = steps.map(|at| self.capacity(at)).sum();
        let possible = able.min(self.offered as f64);
        let p99 = (self.answered.len() as f64 * 0.99) as usize;
        Outcome {
            goodput: self.answered.len() as f64 / possible,
            p99: self.answered.get(p99).copied().unwrap_or_default(),
            refused: self.refused as f64 / self.offered as f64,
        }
    }
}

impl Default for Call {
    fn default() -> Call {
        let stage = Stage::Over;
        Call { came: 0.0, sent: 0.0, method: 0, takes: 0.0, backend: 0, class: 0, stage }
    }
}
