//! What must not take forever on a connection: looked at a few times a second.

use std::rc::Rc;
use std::time::Duration;

use super::conn::{Closed, Conn, Core, Phase};
use super::worker::Worker;
use crate::http2::{Limits, Role};
use crate::model::Time;

/// The PING that asks whether the peer has heard that it is to go.
pub(super) const LEAVE_PING: [u8; 8] = *b"leaving\0";

/// How long the answer to that PING is waited for.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);

/// When a connection that begins now reaches its age, a tenth more or less so that those which
/// began together do not end together.
pub(super) fn expiry(worker: &Worker, limits: &Limits, now: Time) -> Option<Time> {
    if limits.max_age.is_zero() {
        return None;
    }
    let jitter = 0.9 + 0.2 * worker.rng().borrow_mut().f64();
    Some(now + limits.max_age.mul_f64(jitter))
}

impl Conn {
    /// Asks the peer to go: the first phase of a graceful end.
    pub(super) fn begin_leave(self: &Rc<Self>) {
        let now = self.worker.now();
        let mut core = self.core.borrow_mut();
        let server = core.codec.role() == Role::Server;
        if server && core.phase == Phase::Open && core.leaving.is_none() {
            core.leaving = Some(now);
            core.codec.announce_leave(LEAVE_PING);
        }
        drop(core);
        self.flush_later();
    }

    /// Ends a connection that is idle or old: a client is asked, a backend told.
    fn leave_for_age(self: &Rc<Self>) {
        let client = self.core.borrow().codec.role() == Role::Client;
        if client { self.retire() } else { self.begin_leave() }
    }

    /// Ends what has taken too long.
    pub(super) fn check_deadlines(self: &Rc<Self>, now: Time) {
        self.check_cancelled(now);
        let mut core = self.core.borrow_mut();
        if let Some(why) = core.overdue(now) {
            drop(core);
            return self.close(why);
        }
        if !core.codec.is_busy() {
            core.idle.get_or_insert(now);
        }
        let limits = core.codec.limits();
        let idle = core.idle.is_some_and(|since| now.since(since) > limits.idle_timeout);
        let idle = idle && !self.is_kept();
        let expired = core.expires.is_some_and(|at| now >= at);
        let closed = self.listener.get().is_some_and(|(listener, _)| listener.is_closed());
        let told = core.leaving.is_some_and(|since| now.since(since) > LEAVE_PATIENCE);
        if told {
            core.codec.leave();
        }
        if core.idle.is_some() && core.phase == Phase::Open {
            core.shrink();
        }
        let flush = core.codec.output_len() > 0 || core.codec.is_leaving();
        drop(core);
        if (idle || expired || closed) && !told {
            self.leave_for_age();
        } else if flush {
            self.flush_later();
        }
    }
}

impl Core {
    fn overdue(&self, now: Time) -> Option<Closed> {
        let limits = self.codec.limits();
        let past = |since: Option<Time>, limit| since.is_some_and(|at| now.since(at) > limit);
        if let Phase::Lingering(why, linger) = self.phase {
            return linger.is_over(now).then_some(why);
        }
        if self.ended && self.io.has_failed() {
            return Some(Closed::Io);
        }
        if past(self.stalled, limits.write_stall_timeout) {
            return Some(Closed::WriteStall);
        }
        if past(self.unfinished, limits.frame_timeout) {
            return Some(Closed::FrameTimeout);
        }
        if !self.codec.is_introduced() && past(Some(self.opened), limits.preface_timeout) {
            return Some(Closed::PrefaceTimeout);
        }
        None
    }
}
