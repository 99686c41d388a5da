//! What all workers learn of one service together: each counts what has ended, and the one that comes
//! first after an interval sets the limit.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Mutex;

use super::learned::{INTERVAL, Learned};
use super::seen::{CLASSES, Ended, Seen};
use crate::model::Time;
use crate::stats::of_worker;

/// Without anybody who waits for this long, a time of waiting is over.
const CALM: Duration = Duration::from_secs(1);

/// How long calls may wait when that begins, after which time only `LASTING`.
const BURST: Duration = Duration::from_millis(500);
const BURST_LASTS: Duration = Duration::from_millis(1500);

/// How long calls may wait in a lasting overload.
const LASTING: Duration = Duration::from_millis(10);

/// What is learnt of one service.
#[derive(Debug)]
pub struct Learning {
    /// The limit; the highest number if there is none.
    limit: AtomicU32,
    /// When the limit is set next, in nanoseconds.
    due: AtomicU64,
    /// The first calls are told one by one.
    starts: AtomicBool,
    /// Somebody has waited since the last time.
    full: AtomicBool,
    /// When somebody waited last, and since when somebody does, in nanoseconds.
    waited: AtomicU64,
    waits_since: AtomicU64,
    counts: Box<[OnceLock<Box<Counts>>]>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    learned: Learned,
    at: Time,
    before: Seen,
}

/// What has ended on one worker, which alone writes it.
#[derive(Debug)]
#[repr(align(128))] // a pair of cache lines, against false sharing
struct Counts {
    classes: [ClassCounts; CLASSES],
    expired: AtomicU64,
}

#[derive(Debug, Default)]
struct ClassCounts {
    calls: AtomicU64,
    /// In microseconds, as the next.
    held: AtomicU64,
    reference: AtomicU64,
}

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedCall {
    /// Its class by the calls in flight when it began.
    pub class: usize,
    /// How long it took.
    pub held: Duration,
    /// Its method's reference.
    pub reference: Duration,
}

impl Learning {
    /// Nothing is known, by this many workers.
    pub fn new(workers: usize) -> Learning {
        let state = State::default();
        Learning {
            limit: AtomicU32::new(state.learned.limit().unwrap_or(u32::MAX)),
            due: AtomicU64::new(0),
            starts: AtomicBool::new(true),
            full: AtomicBool::new(false),
            waited: AtomicU64::new(0),
            waits_since: AtomicU64::new(0),
            counts: (0..workers.max(1)).map(|_| OnceLock::new()).collect(),
            state: Mutex::new(state),
        }
    }

    /// Counts a call that has ended. Only worker `worker` may pass its number.
    pub fn record(&self, worker: usize, call: EndedCall) {
        let Counts { classes, .. } = self.counts_of(worker);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let Some(class) = classes.get(call.class) else { return };
        let ClassCounts { calls, held, reference } = class;
        add(calls, 1);
        add(held, micros(call.held));
        add(reference, micros(call.reference));
    }

    /// Counts a call that was given up, or whose time was over.
    pub fn record_expired(&self, worker: usize) {
        add(&self.counts_of(worker).expired, 1);
    }

    fn counts_of(&self, worker: usize) -> &Counts {
        of_worker(&self.counts, worker).get_or_init(Box::default)
    }

    /// The limit, if there is one now.
    pub fn limit(&self) -> Option<u32> {
        Some(self.limit.load(Relaxed)).filter(|limit| *limit < u32::MAX)
    }

    /// Sets the limit anew, if it is time. A call has just ended after `last`, and so many are in flight.
    /// Whether the limit may have changed.
    pub fn update(&self, now: Time, in_flight: u32, last: Duration) -> bool {
        let starts = self.starts.load(Relaxed);
        let due = self.due.load(Relaxed);
        let is_due = now.as_nanos() >= due && {
            let next = (now + INTERVAL).as_nanos();
            self.due.compare_exchange(due, next, Relaxed, Relaxed).is_ok()
        };
        if !starts && !is_due {
            return false;
        }
        let Ok(mut state) = self.state.try_lock() else { return false }; // another worker is at it
        let State { learned, at, before } = &mut *state;
        if starts {
            learned.ended(last.as_secs_f64());
            self.starts.store(learned.is_starting(), Relaxed);
        }
        let seconds = now.since(*at).as_secs_f64();
        if is_due && seconds > 0.0 {
            let total = self.total();
            let seen = Seen { in_flight, full: self.full.load(Relaxed), ..total.since(before) };
            if seen.suffices(seconds) {
                self.full.store(false, Relaxed);
                (*at, *before) = (now, total);
                learned.update(&seen, seconds);
                self.starts.store(learned.is_starting(), Relaxed);
            }
        }
        self.limit.store(learned.limit().unwrap_or(u32::MAX), Relaxed);
        true
    }

    fn total(&self) -> Seen {
        let mut seen = Seen::default();
        for counts in self.counts.iter().filter_map(OnceLock::get) {
            seen.expired += counts.expired.load(Relaxed);
            for (sum, class) in seen.classes.iter_mut().zip(&counts.classes) {
                sum.calls += class.calls.load(Relaxed);
                sum.held += class.held.load(Relaxed) as f64 * 1e-6;
                sum.reference += class.reference.load(Relaxed) as f64 * 1e-6;
            }
        }
        seen
    }

    /// Notes that a call has to wait, and returns how long it may: much in a burst, so that nothing is
    /// refused that can soon be served, and little where the wait lasts, as it would for all.
    ///
    /// Source of the idea: B. Maurer, "Fail at Scale" (ACM Queue, 2015), after CoDel.
    pub fn note_wait(&self, now: Time) -> Duration {
        if !self.full.load(Relaxed) {
            self.full.store(true, Relaxed);
        }
        let waited = Time::from_nanos(self.waited.swap(now.as_nanos(), Relaxed));
        if waited == Time::ZERO || now.since(waited) > CALM {
            self.waits_since.store(now.as_nanos(), Relaxed);
        }
        let lasts = now.since(Time::from_nanos(self.waits_since.load(Relaxed)));
        let left = 1.0 - (lasts.as_secs_f32() / BURST_LASTS.as_secs_f32()).min(1.0);
        BURST.mul_f32(left).max(LASTING)
    }
}

impl Default for Counts {
    fn default() -> Counts {
        let classes = std::array::from_fn(|_| ClassCounts::default());
        Counts { classes, expired: AtomicU64::new(0) }
    }
}

impl Seen {
    /// What has ended since `before`.
    fn since(&self, before: &Seen) -> Seen {
        let mut seen = self.clone();
        seen.expired -= before.expired;
        for (class, before) in seen.classes.iter_mut().zip(&before.classes) {
            *class = Ended {
                calls: class.calls - before.calls,
                held: class.held - before.held,
                reference: class.reference - before.reference,
            };
        }
        seen
    }
}

/// Adds, as the only writer.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}
