//! Enforces a connection's timeouts: arms the timer for the next deadline, and acts on expired
//! ones.

use std::rc::Rc;

use super::super::deadlines::{DeadlineInputs, Deadlines};
use super::super::timer::Sleep;
use super::super::worker::Worker;
use super::{Closed, Conn, ConnState, Phase};
use crate::http::{Connection, Limits, Role};
use crate::model::Time;

/// Payload of the PING whose ACK says that the peer has seen our GOAWAY.
pub const LEAVE_PING: [u8; 8] = *b"leaving\0";

/// When a new connection reaches its maximum age. The 10 % jitter avoids synchronised reconnects.
pub fn expiry(worker: &Worker, limits: &Limits, now: Time) -> Option<Time> {
    if limits.max_age.is_zero() {
        return None;
    }
    let jitter = 0.9 + 0.2 * worker.rng().borrow_mut().f64();
    Some(now + limits.max_age.mul_f64(jitter))
}

/// The driver's timer.
#[derive(Debug)]
pub struct Alarm {
    /// When it fires.
    pub set: Option<Time>,
    /// The deadlines have changed, so it may have to be armed again.
    pub stale: bool,
    timer: Option<Sleep>,
}

impl Alarm {
    /// An unarmed timer.
    pub const fn new() -> Alarm {
        Alarm { set: None, stale: true, timer: None }
    }

    /// Notes a deadline that may be sooner.
    pub fn note(&mut self, at: Time) {
        self.stale |= self.set.is_none_or(|set| at < set);
    }
}

fn is_past(deadline: Option<Time>, now: Time) -> bool {
    deadline.is_some_and(|at| at <= now)
}

impl Conn {
    /// Starts a graceful shutdown, for this reason: phase one, GOAWAY and PING.
    pub(in crate::net) fn begin_leave(self: &Rc<Self>, why: Closed) {
        let now = self.worker.now();
        let mut core = self.core.borrow_mut();
        let server = core.codec.role() == Role::Server;
        if server && core.phase == Phase::Open && core.leaving.is_none() {
            core.leaving = Some((now, why));
            core.alarm.stale = true;
            core.codec.announce_leave(LEAVE_PING);
        }
        drop(core);
        self.flush_later();
    }

    /// Ends an idle or aged connection: a client is sent GOAWAY; to a backend no more streams are opened.
    fn part(self: &Rc<Self>, why: Closed) {
        let client = self.core.borrow().codec.role() == Role::Client;
        if client { self.retire(why) } else { self.begin_leave(why) }
    }

    /// Arms the timer for the next deadline, if it has changed.
    pub(super) fn set_alarm(&self) {
        if !self.core.borrow().alarm.stale {
            return;
        }
        let mut core = self.core.borrow_mut();
        let next = self.deadlines(&core).next_timeout();
        core.alarm.stale = false;
        if core.alarm.set == next {
            return;
        }
        core.alarm.set = next;
        let timer = next.zip(self.waker.borrow().as_ref()).map(|(at, waker)| {
            let mut timer = self.worker.sleep_until(at);
            timer.wake(waker);
            timer
        });
        let before = std::mem::replace(&mut core.alarm.timer, timer);
        drop(core);
        drop(before);
    }

    fn deadlines(&self, core: &ConnState) -> Deadlines {
        match core.phase {
            Phase::Closed(_) => Deadlines::default(),
            Phase::Lingering(_, linger) => Deadlines::lingering(linger.until()),
            Phase::Open => {
                let cancels = self.cancels.next(core, self.worker.now());
                let inputs =
                    DeadlineInputs { kept: self.is_kept(), cancels, ..core.deadline_inputs() };
                Deadlines::new(&inputs, core.codec.limits())
            }
        }
    }

    /// Acts on expired deadlines; returns whether there were any. Keepalive and the freeze detector are
    /// left out: pending input has to be read first.
    pub(super) fn check_deadlines(self: &Rc<Self>, now: Time) -> bool {
        let due = is_past(self.core.borrow().alarm.set, now);
        if due {
            self.expire(now);
        }
        due
    }

    fn expire(self: &Rc<Self>, now: Time) {
        let due = {
            let mut core = self.core.borrow_mut();
            core.alarm.stale = true;
            self.deadlines(&core)
        };
        if is_past(due.cancel, now) {
            self.check_cancelled(now);
        }
        let mut core = self.core.borrow_mut();
        if let Some(why) = core.overdue(&due, now) {
            drop(core);
            return self.close(why);
        }
        let left = is_past(due.leave, now);
        core.act_on_deadlines(&due, now);
        drop(core);
        if left {
            self.flush_later();
        } else if is_past(due.age, now) {
            self.part(Closed::MaxAge);
        } else if is_past(due.idle, now) {
            self.part(Closed::Idle);
        }
    }
}

impl ConnState {
    fn deadline_inputs(&self) -> DeadlineInputs {
        DeadlineInputs {
            opened: self.opened,
            introduced: self.codec.is_introduced(),
            unfinished: self.unfinished,
            stalled: self.stalled,
            last_liveness_check: self.ended.then_some(self.last_liveness_check),
            idle: self.idle,
            shrunk: self.shrunk,
            expires: self.expires,
            leaving: self.leaving.map(|(since, _)| since),
            left: self.codec.is_leaving(),
            keepalive: self.keepalive_due(),
            freeze_check: self.freeze_check_due(),
            ..DeadlineInputs::default()
        }
    }

    /// The timeout that closes the connection, if one has expired.
    fn overdue(&self, due: &Deadlines, now: Time) -> Option<Closed> {
        if let Phase::Lingering(why, _) = self.phase {
            return is_past(due.linger, now).then_some(why);
        }
        let reasons = [
            (is_past(due.look, now) && self.io.has_failed(), Closed::Io),
            (is_past(due.write_stall, now), Closed::WriteStall),
            (is_past(due.frame, now), Closed::FrameTimeout),
            (is_past(due.preface, now), Closed::PrefaceTimeout),
        ];
        reasons.into_iter().find_map(|(is_so, why)| is_so.then_some(why))
    }

    fn act_on_deadlines(&mut self, due: &Deadlines, now: Time) {
        if is_past(due.look, now) {
            self.last_liveness_check = now;
        }
        if is_past(due.shrink, now) {
            self.shrink();
        }
        if is_past(due.leave, now) {
            self.codec.leave();
            // A codec that is still undecided ignores this, so it is repeated.
            self.leaving = self.leaving.map(|(_, why)| (now, why));
        }
    }
}
