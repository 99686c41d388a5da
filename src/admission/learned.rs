//! The limit of calls in flight, learnt from what they take. Pure: it is told what has ended.
//!
//! A call is told by how many were in flight when it began. How long calls take at the fewest in flight
//! of late is their base, as nobody waits for anybody there; by Little's law rate × base is what has to
//! be in flight for this rate, and what is beyond it waits somewhere behind the gateway. While calls take
//! twice their base, the limit is rate × base and some room. While they take their base, and others
//! wait for them, it grows. Every fifteen seconds it is lowered a little for half a second, so that the
//! base is known anew. There is no limit at all while calls take about their base.
//!
//! Methods take different times: each has a reference, its mean when it was new, and what is compared
//! are ratios to it, so that the mix of cheap and dear ones does not matter.
//!
//! What else was tried, over the same cases of `benches/overload_simulation.rs`:
//! - Envoy's gradient and Netflix' Gradient2 move with the ratio of two averages: where overload comes
//!   with the first request the long average is that of overload, and nothing is ever limited.
//! - Vegas with the least latency as its base: of times that are spread exponentially the least is no
//!   base, and the limit falls to a tenth of what the backends can do.
//! - A base that decays, and trials that raise the limit by a quarter and look whether more comes out:
//!   of two hundred calls a trial, chance decides it, and the limit drifts.
//! - Latency told by the calls in flight at its *end*: it lags behind the limit, and both swing.

use std::time::Duration;

use super::seen::{CLASSES, Ended, Seen, class_of};

/// How often the limit is set anew.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// The least limit.
const MIN: f64 = 4.0;

/// The limit while nothing is known.
const FIRST: f64 = 16.0;

/// Calls that make the first reference.
const SAMPLES: u32 = 32;

/// Calls after which a start without a queue is over.
const START: u32 = 2000;

/// Calls that take so many times their base wait behind the gateway.
const SLOW: f64 = 2.0;

/// Calls that take fewer times their base do not wait.
const AT_REST: f64 = 1.3;

/// Calls that take fewer times their base leave room for more.
const UNHINDERED: f64 = 1.1;

/// Intervals between two looks at the base, and how many the first one is after.
const LOOK_EVERY: u32 = 150;
const FIRST_LOOK: u32 = 20;

/// How many intervals such a look takes, and the part of the limit that it leaves.
const LOOK: u32 = 5;
const LOWERED: f64 = 0.7;

/// How long calls of one class take, as a ratio to their references, over about the last hundred.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    calls: f64,
    held: f64,
    reference: f64,
    /// When it was last seen, in seconds.
    at: f64,
}

/// A look at the base: the limit is lowered for a while.
#[derive(Clone, Copy, Debug)]
struct Look {
    left: u32,
    limit: f64,
    base: f64,
}

/// The first calls: the limit grows with each that does not wait.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    ended: u32,
    sum: f64,
    recent: f64,
}

/// The limit of one service.
#[derive(Debug)]
pub struct Learned {
    /// `None` while calls do not wait.
    limit: Option<f64>,
    start: Option<Start>,
    classes: [Class; CLASSES],
    /// Seconds of all intervals.
    now: f64,
    /// Intervals in a row in which calls were slow.
    slow: u32,
    look: Option<Look>,
    look_in: u32,
}

impl Default for Learned {
    fn default() -> Learned {
        Learned {
            limit: Some(FIRST),
            start: Some(Start::default()),
            classes: [Class::default(); CLASSES],
            now: 0.0,
            slow: 0,
            look: None,
            look_in: FIRST_LOOK,
        }
    }
}

impl Learned {
    /// The limit, if there is one now.
    pub fn limit(&self) -> Option<u32> {
        self.limit.map(|limit| limit as u32)
    }

    /// Whether the limit is that of the first calls, each of which is to be told by `ended`.
    pub fn is_starting(&self) -> bool {
        self.start.is_some()
    }

    /// One of the first calls has ended after so many seconds.
    pub fn ended(&mut self, held: f64) {
        let Some(start) = &mut self.start else { return };
        start.ended += 1;
        if start.ended <= SAMPLES {
            start.sum += held;
            start.recent = start.sum / f64::from(start.ended);
        }
        start.recent += (held - start.recent) / 16.0;
        let usual = start.sum / f64::from(start.ended.min(SAMPLES));
        if start.ended >= START {
            (self.start, self.limit) = (None, None);
        } else if start.recent <= 1.5 * usual {
            self.limit = self.limit.map(|limit| limit + 1.0);
        } else if start.ended > SAMPLES {
            self.start = None;
        }
    }

    /// Sets the limit anew, from what has ended in so many seconds.
    pub fn update(&mut self, seen: &Seen, seconds: f64) {
        self.now += seconds;
        let calls = seen.calls();
        if seen.expired > calls {
            return self.cut(seen);
        }
        let classes = self.classes.iter_mut().zip(&seen.classes);
        classes.for_each(|(class, ended)| class.add(ended, self.now));
        if calls == 0 || self.start.is_some() {
            return;
        }
        let in_flight = f64::from(seen.in_flight);
        let own = class_of(self.limit.map_or(in_flight, |limit| limit.min(in_flight)) as u32);
        self.forget_untrue(own);
        let base = self.base(own);
        let Some(slowdown) = self.slowdown(seen, own, base) else { return };
        self.slow = if slowdown >= SLOW { self.slow + 1 } else { 0 };
        let limit = match self.limit {
            Some(limit) => limit,
            None if self.slow < 2 => return,
            None => {
                (self.look, self.look_in) = (None, FIRST_LOOK);
                in_flight
            }
        };
        if !seen.full && slowdown < AT_REST {
            // Nobody is kept waiting: the limit goes away.
            self.limit = Some(limit * 1.1).filter(|limit| *limit <= 4.0 * in_flight + 20.0);
            return;
        }
        let reference: f64 = seen.classes.iter().map(|ended| ended.reference).sum();
        let needed = reference * base / seconds;
        self.limit = Some(match self.look_at_base(limit, base) {
            Some(lowered) => lowered,
            None if slowdown < UNHINDERED && seen.full => limit * 1.1,
            None => limit + ((needed + room(needed)).max(MIN) - limit) * 0.5,
        });
    }

    /// Hardly any is answered in time: nothing can be learnt of those, and there are far too many.
    fn cut(&mut self, seen: &Seen) {
        self.slow += 1;
        if self.slow >= 2 || self.limit.is_some() {
            let in_flight = f64::from(seen.in_flight);
            let limit = self.limit.map_or(in_flight, |limit| limit.min(in_flight));
            (self.limit, self.start) = (Some((limit * 0.5).max(MIN)), None);
        }
    }

    /// If fewer in flight are hardly faster, they do not wait, and what was learnt of still fewer is no
    /// longer true.
    fn forget_untrue(&mut self, own: usize) {
        let (now, classes) = (self.now, &self.classes);
        let fewer = classes[own];
        let hardly = |more: usize, part: f64| {
            let more = classes[own + more];
            more.is_known(now, 5.0) && fewer.ratio() > part * more.ratio()
        };
        // Of those that wait, half as many take half as long.
        if fewer.is_known(now, 1.0) && (hardly(1, 0.9) || hardly(2, 0.8)) {
            self.classes[..own].fill(Class::default());
        }
    }

    /// What calls take with the fewest in flight, as a ratio to their references.
    fn base(&self, own: usize) -> f64 {
        let (fewer, more) = self.classes.split_at(own + 1);
        let lowest = fewer.iter().find(|class| class.is_known(self.now, 60.0));
        let lowest = lowest.or_else(|| more.iter().find(|class| class.calls > 0.0));
        lowest.or_else(|| fewer.iter().find(|class| class.calls > 0.0)).map_or(1.0, Class::ratio)
    }

    /// How many times their base calls take that began at the limit; `None` if none has ended yet.
    fn slowdown(&self, seen: &Seen, own: usize, base: f64) -> Option<f64> {
        let near = match self.limit {
            Some(_) => &seen.classes[own.saturating_sub(1)..=own + 1],
            None => &seen.classes[..],
        };
        let sum = |of: fn(&Ended) -> f64| near.iter().map(of).sum::<f64>();
        let reference = sum(|ended| ended.reference);
        (reference > 0.0).then(|| sum(|ended| ended.held) / (reference * base))
    }

    /// The limit while it is lowered to see the base.
    fn look_at_base(&mut self, limit: f64, base: f64) -> Option<f64> {
        match &mut self.look {
            Some(look) if look.left > 1 => {
                look.left -= 1;
                Some(limit)
            }
            Some(look) => {
                let (before, found) = (look.limit, base < 0.92 * look.base);
                self.look = None;
                // Where they were faster, they may be faster still.
                self.look_in = if found { 3 } else { LOOK_EVERY };
                Some(if found { limit } else { before })
            }
            None => {
                self.look_in = self.look_in.saturating_sub(1);
                if self.look_in > 0 {
                    return None;
                }
                self.look = Some(Look { left: LOOK, limit, base });
                Some((limit * LOWERED).max(MIN))
            }
        }
    }
}

impl Class {
    fn add(&mut self, ended: &Ended, now: f64) {
        if ended.calls == 0 {
            return;
        }
        let calls = ended.calls as f64;
        let keep = 100.0 / (100.0 + calls);
        *self = Class {
            calls: self.calls * keep + calls,
            held: self.held * keep + ended.held,
            reference: self.reference * keep + ended.reference,
            at: now,
        };
    }

    fn ratio(&self) -> f64 {
        self.held / self.reference
    }

    fn is_known(&self, now: f64, age: f64) -> bool {
        self.calls >= 30.0 && now - self.at < age
    }
}

/// What may be in flight beyond what is needed: calls come and end by chance.
fn room(needed: f64) -> f64 {
    (0.75 * needed.sqrt()).max(0.1 * needed).max(1.0)
}

#[cfg(test)]
mod tests;
