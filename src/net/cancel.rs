//! Cancellation towards backends: RST_STREAM is sent at once, but rate limited per connection, so
//! that no backend takes us for a rapid-reset attacker and closes the connection that others share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::conn::{Closed, Conn, ConnState, Phase};
use super::resets::Resets;
use crate::http::{Connection, ErrorCode, Key, Role};
use crate::model::Time;

/// RST_STREAM frames sent on one backend connection in 30 s. Peers count resets and close the
/// connection, with everybody's streams on it, beyond a limit: Netty at 200 in 30 s, the lowest
/// known.
pub const MAX_RESETS: usize = 190;

/// Retry interval of a reset whose HEADERS frame is still in the output: a reset right behind it
/// would come before the peer has accepted the stream.
const HEADERS_RETRY: Duration = Duration::from_millis(20);

/// Cancellation state of a connection.
#[derive(Debug)]
pub(super) struct Cancels {
    /// To a backend: RST_STREAM frames sent. From a client: requests it cancelled.
    recent: Resets,
    /// How much of the codec's RST_STREAM count is already in `recent`.
    counted: Cell<u64>,
    /// The value of `recent` at the last check.
    last_resets: Cell<usize>,
    /// Cancelled streams whose RST_STREAM is still delayed.
    delayed: RefCell<Vec<DelayedReset>>,
    timed: Cell<bool>,
}

#[derive(Clone, Copy, Debug)]
struct DelayedReset {
    key: Key,
    /// Earliest time of its reset.
    from: Time,
}

/// What a delayed reset waits for.
enum Delay {
    Until(Time),
    /// For the reset budget to recover.
    BudgetRecovers,
}

/// Stream capacity and reset budget of a backend connection.
#[derive(Clone, Copy, Debug)]
pub struct StreamCapacity {
    /// Streams that may be opened now, by the peer's MAX_CONCURRENT_STREAMS.
    pub available: usize,
    /// Open streams.
    pub open: usize,
    /// RST_STREAM frames sent in the last 30 s.
    pub resets: usize,
}

impl StreamCapacity {
    /// Resets in the worst case: those sent, plus one for every open stream.
    pub fn burden(&self) -> usize {
        self.open + self.resets
    }
}

impl Cancels {
    pub fn new() -> Cancels {
        Cancels {
            recent: Resets::new(),
            counted: Cell::new(0),
            last_resets: Cell::new(0),
            delayed: RefCell::default(),
            timed: Cell::new(false),
        }
    }

    /// Whether the codec has sent resets that `recent` does not count yet.
    pub fn needs_update(&self, core: &ConnState) -> bool {
        let sent = core.codec.resets_sent();
        sent != self.counted.get() && core.codec.role() == Role::Client
    }

    /// When the reset budget next recovers, so that a delayed reset can be sent or more streams
    /// opened.
    pub fn next(&self, core: &ConnState, now: Time) -> Option<Time> {
        if core.codec.role() != Role::Client || self.resets(core, now) == 0 {
            return None;
        }
        self.recent.next_forgotten()
    }

    /// RST_STREAM frames sent in the last 30 s, for whatever reason.
    fn resets(&self, core: &ConnState, now: Time) -> usize {
        let sent = core.codec.resets_sent();
        let more = sent - self.counted.replace(sent);
        if more > 0 {
            self.recent.add(u32::try_from(more).unwrap_or(u32::MAX), now);
        }
        self.recent.recent(now)
    }
}

impl Conn {
    /// Its capacity; `None` once no stream will be opened here again.
    pub fn stream_capacity(&self) -> Option<StreamCapacity> {
        let core = self.core.borrow();
        if core.phase != Phase::Open || core.codec.is_leaving() {
            return None;
        }
        let (available, open) = (core.codec.available(), core.codec.open_streams());
        let resets = self.cancels.resets(&core, self.worker.now());
        Some(StreamCapacity { available, open, resets })
    }

    /// Cancelled streams whose reset is still delayed.
    pub fn delayed_resets(&self) -> usize {
        self.cancels.delayed.borrow().len()
    }

    /// Records that the client of this connection cancelled a request.
    pub fn note_cancelled_request(&self) {
        self.cancels.recent.add(1, self.worker.now());
    }

    /// Requests that the client of this connection cancelled in the last 30 s.
    pub fn cancelled_requests(&self) -> usize {
        self.cancels.recent.recent(self.worker.now())
    }

    /// Cancels a stream to a backend.
    pub(super) fn cancel(self: &Rc<Self>, key: Key) {
        if self.is_http1() {
            return self.close(Closed::Cancelled);
        }
        let now = self.worker.now();
        let mut core = self.core.borrow_mut();
        if core.codec.take_back(key) {
            drop(core);
            return self.flush_later(); // the connection may be idle now
        }
        core.codec.abandon(key);
        if !core.codec.is_open(key) {
            drop(core);
            return self.flush_later(); // as above
        }
        let Some(delay) = self.try_reset(&mut core, key, now) else {
            drop(core);
            return self.flush_later();
        };
        let from = match delay {
            Delay::Until(at) => at,
            Delay::BudgetRecovers => now,
        };
        self.cancels.delayed.borrow_mut().push(DelayedReset { key, from });
        // No other stream is on the connection: closing it cancels all at once.
        let is_alone = matches!(delay, Delay::BudgetRecovers) && !core.codec.is_busy();
        drop(core);
        if is_alone {
            self.close(Closed::Cancelled);
        } else if from > now {
            self.schedule_check(from);
        }
    }

    /// Sends RST_STREAM, unless it has to be delayed.
    fn try_reset(&self, core: &mut ConnState, key: Key, now: Time) -> Option<Delay> {
        match core.codec.resettable_from(key).map(Time::from_millis) {
            None => return Some(Delay::Until(now + HEADERS_RETRY)),
            Some(from) if from > now => return Some(Delay::Until(from)),
            Some(_) => {}
        }
        if self.cancels.resets(core, now) >= MAX_RESETS {
            return Some(Delay::BudgetRecovers);
        }
        core.codec.reset(key, ErrorCode::CANCEL);
        None
    }

    /// Sends the delayed resets that the budget allows by now.
    pub(super) fn check_cancelled(self: &Rc<Self>, now: Time) {
        let mut core = self.core.borrow_mut();
        if core.codec.role() != Role::Client {
            return;
        }
        let mut delayed = self.cancels.delayed.borrow_mut();
        let (mut sent_any, mut stuck, mut next) = (false, false, None::<Time>);
        delayed.retain_mut(|one| {
            if !core.codec.is_open(one.key) {
                return false;
            }
            if one.from <= now {
                match self.try_reset(&mut core, one.key, now) {
                    None => {
                        sent_any = true;
                        return false;
                    }
                    Some(Delay::Until(at)) => one.from = at,
                    Some(Delay::BudgetRecovers) => stuck = true,
                }
            }
            if one.from > now {
                next = Some(next.map_or(one.from, |next| next.min(one.from)));
            }
            true
        });
        drop(delayed);
        let is_alone = stuck && !core.codec.is_busy();
        let resets = self.cancels.resets(&core, now);
        let forgot = resets < self.cancels.last_resets.replace(resets);
        drop(core);
        if is_alone {
            return self.close(Closed::Cancelled);
        }
        if sent_any {
            self.flush_later();
        }
        if sent_any || forgot {
            self.changed();
        }
        if let Some(at) = next {
            self.schedule_check(at);
        }
    }

    /// Schedules a check of the delayed resets.
    fn schedule_check(self: &Rc<Self>, at: Time) {
        if self.cancels.timed.replace(true) {
            return; // the queue is in order of due time, closely enough
        }
        let conn = Rc::downgrade(self);
        let sleep = self.worker.sleep(at.since(self.worker.now()));
        self.worker.spawn(async move {
            sleep.await;
            if let Some(conn) = conn.upgrade() {
                conn.cancels.timed.set(false);
                conn.check_cancelled(conn.worker.now());
            }
        });
    }
}
