//! Keepalive of a backend connection, and detection of frozen backends.

use std::rc::Rc;
use std::time::Duration;

use super::super::freeze_detector::{FreezeVerdict, LATENESS, PING_TIMEOUT, SILENCE_TIMEOUT};
use super::super::keepalive::KeepaliveAction;
use super::timeouts::LEAVE_PING;
use super::{Closed, Conn, ConnState, Phase};
use crate::http::Connection as _;
use crate::model::Time;

/// Payload of the PING that asks whether the peer is alive.
const ALIVE_PING: [u8; 8] = *b"alive\0\0\0";

impl Conn {
    /// The peer sent GOAWAY: closes the connection if no stream is open.
    pub(super) fn goaway_received(&self, too_many_pings: bool, now: Time) {
        if too_many_pings {
            self.owner.too_many_pings();
        }
        let mut core = self.core.borrow_mut();
        core.peer_left = true;
        if !core.codec.is_busy() {
            let why = core.reason();
            core.linger(why, now);
        }
    }

    /// Runs keepalive and the freeze detector of a backend connection, if they are due.
    pub(super) fn check_silence(self: &Rc<Self>) {
        let now = self.worker.now();
        let (dead, verdict) = {
            let mut core = self.core.borrow_mut();
            if core.phase != Phase::Open {
                return;
            }
            (core.check_keepalive(now), core.check_frozen(now))
        };
        if dead {
            return self.close(Closed::Keepalive);
        }
        match verdict {
            FreezeVerdict::Wait => {
                let since = self.core.borrow().silence.since();
                self.is_silent.set(self.is_silent() && since + SILENCE_TIMEOUT <= now);
            }
            FreezeVerdict::AskWaiters => self.ask_waiters(now),
            FreezeVerdict::Frozen => {
                self.frozen.set(Some(now));
                self.owner.frozen(now);
            }
        }
        if self.core.borrow().codec.output_len() > 0 {
            self.flush_later();
        }
    }

    /// Wakes all requests that wait for an answer here, to find overdue ones; unless the backend is
    /// sending on another connection.
    fn ask_waiters(&self, now: Time) {
        let last_received = self.owner.last_received();
        if last_received + SILENCE_TIMEOUT > now {
            let mut core = self.core.borrow_mut();
            return core
                .freeze_detector
                .iter_mut()
                .for_each(|detector| detector.note_received_elsewhere(last_received));
        }
        self.is_silent.set(true);
        self.wake_streams();
    }

    /// Whether nothing was received for some time, though an answer is owed. A request that is overdue
    /// then has to call [`ask`](Conn::ask).
    pub fn is_silent(&self) -> bool {
        self.is_silent.get()
    }

    /// Asks the backend by a PING whether it is alive, since a request here is overdue.
    pub fn ask(self: &Rc<Self>) {
        if self.core.borrow_mut().ask(self.worker.now()) {
            self.flush_later();
        }
    }

    /// Whether an answer is owed, and nothing was received for so long.
    pub fn is_owed_for(&self, time: Duration) -> bool {
        let core = self.core.borrow();
        core.codec.is_busy() && core.silence.since() + time <= self.worker.now()
    }

    /// Whether the backend did not answer that PING, nor sent anything else since.
    pub fn is_frozen(&self) -> bool {
        self.frozen.get().is_some_and(|at| self.core.borrow().silence.last_received <= at)
    }
}

impl ConnState {
    /// Records that the peer owes an answer, after a time without streams.
    pub fn note_owed(&mut self, now: Time) {
        self.silence.note_owed(now);
        if let Some(detector) = &self.freeze_detector {
            let first = self
                .pings
                .as_ref()
                .map_or(SILENCE_TIMEOUT, |pings| pings.interval().min(SILENCE_TIMEOUT));
            self.alarm.note(detector.since(&self.silence) + first);
        }
    }

    /// Records that another request is sent to a silent peer.
    pub fn note_asked(&mut self, now: Time) {
        self.freeze_detector.iter_mut().for_each(|detector| detector.renew(now));
        self.freeze_check_due().into_iter().for_each(|due| self.alarm.note(due));
    }

    /// Handles the answer to a PING.
    pub fn pong(&mut self, payload: [u8; 8], now: Time) {
        match payload {
            LEAVE_PING => self.codec.leave(),
            ALIVE_PING => {
                self.renew_ping_budget();
                self.pings.iter_mut().for_each(|pings| pings.note_answered(now));
                self.alarm.stale = true;
            }
            _ => {}
        }
    }

    /// When keepalive next acts.
    pub fn keepalive_due(&self) -> Option<Time> {
        self.pings.as_ref()?.due(&self.silence, self.codec.is_busy())
    }

    /// When the freeze detector next judges.
    pub fn freeze_check_due(&self) -> Option<Time> {
        self.freeze_detector.as_ref()?.due(&self.silence, self.codec.is_busy())
    }

    /// Runs keepalive, which may send a PING. Returns whether the connection is dead.
    fn check_keepalive(&mut self, now: Time) -> bool {
        if self.keepalive_due().is_none_or(|due| due > now) {
            return false;
        }
        self.renew_ping_budget();
        let Some(pings) = &mut self.pings else { return false };
        match pings.judge(&self.silence, now) {
            KeepaliveAction::Dead => return true,
            KeepaliveAction::Ping if pings.begin(now) => self.codec.ping(ALIVE_PING),
            KeepaliveAction::Ping | KeepaliveAction::Wait => {}
        }
        false
    }

    fn check_frozen(&mut self, now: Time) -> FreezeVerdict {
        if self.freeze_check_due().is_none_or(|due| due > now) {
            return FreezeVerdict::Wait;
        }
        self.freeze_detector
            .as_mut()
            .map_or(FreezeVerdict::Wait, |detector| detector.judge(&self.silence, now))
    }

    /// Sends a PING; returns whether there is output to flush. HTTP/1.1 has no PING: there, silence alone
    /// counts.
    fn ask(&mut self, now: Time) -> bool {
        self.renew_ping_budget();
        let Some(detector) = &mut self.freeze_detector else { return false };
        let asked = match &mut self.pings {
            None => detector.ask(&self.silence, LATENESS, now),
            Some(pings) => {
                if !pings.is_unanswered() && pings.begin_first(now) {
                    self.codec.ping(ALIVE_PING);
                }
                pings.is_unanswered() && detector.ask(&self.silence, PING_TIMEOUT, now)
            }
        };
        self.alarm.stale |= asked;
        asked
    }

    /// Renews the budget if HEADERS or DATA were received; to be called before a PING or its answer is
    /// counted.
    fn renew_ping_budget(&mut self) {
        if self.codec.take_received_message()
            && let Some(pings) = &mut self.pings
        {
            pings.note_message();
        }
    }
}
