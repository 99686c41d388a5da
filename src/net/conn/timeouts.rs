//! A connection's deadlines: when its driver looks at them again, and what it does about those that
//! have passed.

use std::rc::Rc;

use super::super::deadlines::{Deadlines, Facts};
use super::super::timer::Sleep;
use super::super::worker::Worker;
use super::{Closed, Conn, Core, Phase};
use crate::http::{Limits, Role};
use crate::model::Time;

/// The PING that asks whether the peer has heard that it is to go.
pub const LEAVE_PING: [u8; 8] = *b"leaving\0";

/// When a connection that begins now reaches its age, a tenth more or less so that those which
/// began together do not end together.
pub fn expiry(worker: &Worker, limits: &Limits, now: Time) -> Option<Time> {
    if limits.max_age.is_zero() {
        return None;
    }
    let jitter = 0.9 + 0.2 * worker.rng().borrow_mut().f64();
    Some(now + limits.max_age.mul_f64(jitter))
}

/// What wakes a driver, and when.
#[derive(Debug)]
pub struct Alarm {
    /// When the driver is woken.
    pub set: Option<Time>,
    /// There may be a deadline before that, or none at all by then.
    pub stale: bool,
    timer: Option<Sleep>,
}

impl Alarm {
    /// One that is yet to be set.
    pub const fn new() -> Alarm {
        Alarm { set: None, stale: true, timer: None }
    }

    /// There is a deadline then.
    pub fn note(&mut self, at: Time) {
        self.stale |= self.set.is_none_or(|set| at < set);
    }
}

fn is_past(deadline: Option<Time>, now: Time) -> bool {
    deadline.is_some_and(|at| at <= now)
}

impl Conn {
    /// Asks the peer to go, for this reason: the first phase of a graceful end.
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

    /// Ends a connection that is idle or old: a client is asked, a backend told.
    fn part(self: &Rc<Self>, why: Closed) {
        let client = self.core.borrow().codec.role() == Role::Client;
        if client { self.retire(why) } else { self.begin_leave(why) }
    }

    /// Sees to it that the driver is woken at the next deadline, if that is not so.
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

    fn deadlines(&self, core: &Core) -> Deadlines {
        match core.phase {
            Phase::Closed(_) => Deadlines::default(),
            Phase::Lingering(_, linger) => Deadlines::lingering(linger.until()),
            Phase::Open => {
                let cancels = self.cancels.next(core, self.worker.now());
                let facts = Facts { kept: self.is_kept(), cancels, ..core.facts() };
                Deadlines::new(&facts, core.codec.limits())
            }
        }
    }

    /// Does what is due by now, if anything is.
    pub(super) fn check_deadlines(self: &Rc<Self>, now: Time) {
        if !is_past(self.core.borrow().alarm.set, now) {
            return;
        }
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
        core.do_what_is_due(&due, now);
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

impl Core {
    fn facts(&self) -> Facts {
        Facts {
            opened: self.opened,
            introduced: self.codec.is_introduced(),
            unfinished: self.unfinished,
            stalled: self.stalled,
            looked: self.ended.then_some(self.looked),
            idle: self.idle,
            shrunk: self.shrunk,
            expires: self.expires,
            leaving: self.leaving.map(|(since, _)| since),
            left: self.codec.is_leaving(),
            ..Facts::default()
        }
    }

    /// Why the connection ends, if something has taken too long.
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

    fn do_what_is_due(&mut self, due: &Deadlines, now: Time) {
        if is_past(due.look, now) {
            self.looked = now;
        }
        if is_past(due.shrink, now) {
            self.shrink();
        }
        if is_past(due.leave, now) {
            self.codec.leave();
            // One that does not know its protocol yet is told again.
            self.leaving = self.leaving.map(|(_, why)| (now, why));
        }
    }
}
