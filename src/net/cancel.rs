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
pub const MOST_RESETS: usize = 190;

/// Retry interval of a reset whose HEADERS frame is still in the output: a reset right behind it
/// would come before the peer has accepted the stream.
const HEAD_START: Duration = Duration::from_millis(20);

/// Cancellation state of a connection.
#[derive(Debug)]
pub(super) struct Cancels {
    /// To a backend: RST_STREAM frames sent. From a client: requests it cancelled.
    recent: Resets,
    /// How much of the codec's RST_STREAM count is already in `recent`.
    counted: Cell<u64>,
    /// The value of `recent` at the last check.
    before: Cell<usize>,
    /// Cancelled streams whose RST_STREAM is still delayed.
    waiting: RefCell<Vec<Waiting>>,
    timed: Cell<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    key: Key,
    /// Earliest time of its reset.
    from: Time,
}

/// What a delayed reset waits for.
enum Wait {
    Until(Time),
    /// For the reset budget to recover.
    Forgotten,
}

/// Stream capacity and reset budget of a backend connection.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Streams that may be opened now, by the peer's MAX_CONCURRENT_STREAMS.
    pub available: usize,
    /// Open streams.
    pub open: usize,
    /// RST_STREAM frames sent in the last 30 s.
    pub resets: usize,
}

impl Room {
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
            before: Cell::new(0),
            waiting: RefCell::default(),
            timed: Cell::new(false),
        }
    }

    /// Whether the codec has sent resets that `recent` does not count yet.
    pub fn are_behind(&self, core: &ConnState) -> bool {
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
    pub fn room(&self) -> Option<Room> {
        let core = self.core.borrow();
        if core.phase != Phase::Open || core.codec.is_leaving() {
            return None;
        }
        let (available, open) = (core.codec.available(), core.codec.open_streams());
        let resets = self.cancels.resets(&core, self.worker.now());
        Some(Room { available, open, resets })
    }

    /// Cancelled streams whose reset is still delayed.
    pub fn abandoned(&self) -> usize {
        self.cancels.waiting.borrow().len()
    }

    /// Records that the client of this connection cancelled a request.
    pub fn note_given_up(&self) {
        self.cancels.recent.add(1, self.worker.now());
    }

    /// Requests that the client of this connection cancelled in the last 30 s.
    pub fn given_up(&self) -> usize {
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
        let Some(wait) = self.tell(&mut core, key, now) else {
            drop(core);
            return self.flush_later();
        };
        let from = match wait {
            Wait::Until(at) => at,
            Wait::Forgotten => now,
        };
        self.cancels.waiting.borrow_mut().push(Waiting { key, from });
        // No other stream is on the connection: closing it cancels all at once.
        let deserted = matches!(wait, Wait::Forgotten) && !core.codec.is_busy();
        drop(core);
        if deserted {
            self.close(Closed::Cancelled);
        } else if from > now {
            self.tell_at(from);
        }
    }

    /// Sends RST_STREAM, unless it has to be delayed.
    fn tell(&self, core: &mut ConnState, key: Key, now: Time) -> Option<Wait> {
        match core.codec.resettable_from(key).map(Time::from_millis) {
            None => return Some(Wait::Until(now + HEAD_START)),
            Some(from) if from > now => return Some(Wait::Until(from)),
            Some(_) => {}
        }
        if self.cancels.resets(core, now) >= MOST_RESETS {
            return Some(Wait::Forgotten);
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
        let mut waiting = self.cancels.waiting.borrow_mut();
        let (mut told, mut stuck, mut next) = (false, false, None::<Time>);
        waiting.retain_mut(|one| {
            if !core.codec.is_open(one.key) {
                return false;
            }
            if one.from <= now {
                match self.tell(&mut core, one.key, now) {
                    None => {
                        told = true;
                        return false;
                    }
                    Some(Wait::Until(at)) => one.from = at,
                    Some(Wait::Forgotten) => stuck = true,
                }
            }
            if one.from > now {
                next = Some(next.map_or(one.from, |next| next.min(one.from)));
            }
            true
        });
        drop(waiting);
        let deserted = stuck && !core.codec.is_busy();
        let resets = self.cancels.resets(&core, now);
        let forgot = resets < self.cancels.before.replace(resets);
        drop(core);
        if deserted {
            return self.close(Closed::Cancelled);
        }
        if told {
            self.flush_later();
        }
        if told || forgot {
            self.changed();
        }
        if let Some(at) = next {
            self.tell_at(at);
        }
    }

    /// Schedules a check of the delayed resets.
    fn tell_at(self: &Rc<Self>, at: Time) {
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
