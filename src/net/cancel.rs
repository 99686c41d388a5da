//! Requests to backends that are given up: each backend hears of it at once, and no backend hears
//! of so many on one connection that it ends it for all.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::conn::{Closed, Conn, Core, Phase};
use super::resets::Resets;
use crate::http::{ErrorCode, Key, Role};
use crate::model::Time;

/// Streams that are reset on one connection to a backend in 30 s. Peers count resets, and end the
/// connection, with everybody's streams on it, when there are too many: Netty at 200 in 30 s, the
/// fewest of all that are known.
pub const MOST_RESETS: usize = 190;

/// Until when a reset waits after a head that has only now left, as a turn later is too soon.
const HEAD_START: Duration = Duration::from_millis(20);

/// What a connection has of streams that are given up.
#[derive(Debug)]
pub(super) struct Cancels {
    /// To a backend: streams that were reset. From a client: requests that it gave up.
    recent: Resets,
    /// Of the codec's count of resets, how many are in `recent`.
    counted: Cell<u64>,
    /// What there was of `recent` when the connection was last looked after.
    before: Cell<usize>,
    /// Streams given up that the backend is yet to be told of.
    waiting: RefCell<Vec<Waiting>>,
    timed: Cell<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    key: Key,
    /// Not to be reset before.
    from: Time,
}

/// What a stream that is given up waits for.
enum Wait {
    Until(Time),
    /// For resets to be forgotten.
    Forgotten,
}

/// What room a connection to a backend has.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// How many more streams the peer takes now.
    pub available: usize,
    /// Streams that are open.
    pub open: usize,
    /// Streams that were reset in the last 30 s.
    pub resets: usize,
}

impl Room {
    /// Resets that the connection will have been sent if all that is open is given up now.
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

    /// Whether a backend was sent resets that are not counted yet.
    pub fn are_behind(&self, core: &Core) -> bool {
        let sent = core.codec.resets_sent();
        sent != self.counted.get() && core.codec.role() == Role::Client
    }

    /// When a backend may next be told of something, or takes more streams, because resets are
    /// forgotten.
    pub fn next(&self, core: &Core, now: Time) -> Option<Time> {
        if core.codec.role() != Role::Client || self.resets(core, now) == 0 {
            return None;
        }
        self.recent.next_forgotten()
    }

    /// Streams that were reset in the last 30 s, for whatever reason.
    fn resets(&self, core: &Core, now: Time) -> usize {
        let sent = core.codec.resets_sent();
        let more = sent - self.counted.replace(sent);
        if more > 0 {
            self.recent.add(u32::try_from(more).unwrap_or(u32::MAX), now);
        }
        self.recent.recent(now)
    }
}

impl Conn {
    /// What room there is for streams; none when no stream will be opened here again.
    pub fn room(&self) -> Option<Room> {
        let core = self.core.borrow();
        if core.phase != Phase::Open || core.codec.is_leaving() {
            return None;
        }
        let (available, open) = (core.codec.available(), core.codec.open_streams());
        let resets = self.cancels.resets(&core, self.worker.now());
        Some(Room { available, open, resets })
    }

    /// Streams given up that the peer has not been told of.
    pub fn abandoned(&self) -> usize {
        self.cancels.waiting.borrow().len()
    }

    /// Notes that the client of this connection gave up a request.
    pub fn note_given_up(&self) {
        self.cancels.recent.add(1, self.worker.now());
    }

    /// Requests that the client of this connection gave up in the last 30 s.
    pub fn given_up(&self) -> usize {
        self.cancels.recent.recent(self.worker.now())
    }

    /// Gives up a stream to a backend.
    pub(super) fn cancel(self: &Rc<Self>, key: Key) {
        if self.is_http1() {
            return self.close(Closed::Cancelled);
        }
        let now = self.worker.now();
        let mut core = self.core.borrow_mut();
        if core.codec.take_back(key) {
            drop(core);
            return self.flush_later(); // that it may be idle now
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
        // Nobody else is on the connection: its end tells the backend of all at once.
        let deserted = matches!(wait, Wait::Forgotten) && !core.codec.is_busy();
        drop(core);
        if deserted {
            self.close(Closed::Cancelled);
        } else if from > now {
            self.tell_at(from);
        }
    }

    /// Resets a stream, unless that has to wait.
    fn tell(&self, core: &mut Core, key: Key, now: Time) -> Option<Wait> {
        match core.codec.resettable_from(key) {
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

    /// Tells the backend of the streams given up, as far as it may be told by now.
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

    /// Sees to it that what waits is looked at then.
    fn tell_at(self: &Rc<Self>, at: Time) {
        if self.cancels.timed.replace(true) {
            return; // what came first is due first, or soon enough after
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
