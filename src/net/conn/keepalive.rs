//! The silence of a backend: keepalive, and whether it is frozen.

use std::rc::Rc;

use super::super::keepalive::Silence;
use super::super::quiet::{ANSWERS, LATE, QUIET, Verdict};
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

    /// Looks at the silence of a backend, if it is time.
    pub(super) fn check_silence(self: &Rc<Self>) {
        let now = self.worker.now();
        let (dead, verdict) = {
            let mut core = self.core.borrow_mut();
            if core.phase != Phase::Open {
                return;
            }
            (core.judge_silence(now), core.judge_quiet(now))
        };
        if dead {
            return self.close(Closed::Keepalive);
        }
        match verdict {
            Verdict::Wait => {
                let since = self.core.borrow().quiet.since();
                self.is_quiet.set(self.is_quiet() && since + QUIET <= now);
            }
            Verdict::Look => self.look_at_quiet(now),
            Verdict::Frozen => {
                self.frozen.set(Some(now));
                self.owner.frozen(now);
            }
        }
        if self.core.borrow().codec.output_len() > 0 {
            self.flush_later();
        }
    }

    /// Has all who wait for an answer here say whether they do for longer than is usual, unless the
    /// backend speaks elsewhere.
    fn look_at_quiet(&self, now: Time) {
        let last_received = self.owner.last_received();
        if last_received + QUIET > now {
            let mut core = self.core.borrow_mut();
            return core
                .watch
                .iter_mut()
                .for_each(|watch| watch.note_received_elsewhere(last_received));
        }
        self.is_quiet.set(true);
        self.wake_streams();
    }

    /// Whether nothing has come for some time, though an answer is owed: who waits for one is to
    /// [`ask`](Conn::ask), if that is long for them.
    pub fn is_quiet(&self) -> bool {
        self.is_quiet.get()
    }

    /// Asks the backend whether it is alive, as one that waits here does so for longer than is usual.
    pub fn ask(self: &Rc<Self>) {
        if self.core.borrow_mut().ask(self.worker.now()) {
            self.flush_later();
        }
    }

    /// Whether the backend did not answer that, nor said anything else since.
    pub fn is_frozen(&self) -> bool {
        self.frozen.get().is_some_and(|at| self.core.borrow().quiet.last_received <= at)
    }
}

impl ConnState {
    /// The peer owes an answer, after a time without streams.
    pub fn note_owed(&mut self, now: Time) {
        self.quiet.note_owed(now);
        if let Some(watch) = &self.watch {
            let first = self.pings.as_ref().map_or(QUIET, |pings| pings.interval().min(QUIET));
            self.alarm.note(watch.since(&self.quiet) + first);
        }
    }

    /// Another request goes to a peer that is quiet.
    pub fn note_asked(&mut self, now: Time) {
        self.watch.iter_mut().for_each(|watch| watch.renew(now));
        self.quiet_due().into_iter().for_each(|due| self.alarm.note(due));
    }

    /// The peer has answered a PING.
    pub fn pong(&mut self, payload: [u8; 8], now: Time) {
        match payload {
            LEAVE_PING => self.codec.leave(),
            ALIVE_PING => {
                self.note_carried();
                self.pings.iter_mut().for_each(|pings| pings.note_answered(now));
                self.alarm.stale = true;
            }
            _ => {}
        }
    }

    /// When keepalive is to look at the silence.
    pub fn silence_due(&self) -> Option<Time> {
        self.pings.as_ref()?.due(&self.quiet, self.codec.is_busy())
    }

    /// When it is to be looked at whether the peer is frozen.
    pub fn quiet_due(&self) -> Option<Time> {
        self.watch.as_ref()?.due(&self.quiet, self.codec.is_busy())
    }

    /// Acts on a silence that is due: sends a PING, if it may. Whether the connection is dead.
    fn judge_silence(&mut self, now: Time) -> bool {
        if self.silence_due().is_none_or(|due| due > now) {
            return false;
        }
        self.note_carried();
        let Some(pings) = &mut self.pings else { return false };
        match pings.judge(self.quiet.last_received, now) {
            Silence::Dead => return true,
            Silence::Ping if pings.begin(now) => self.codec.ping(ALIVE_PING),
            Silence::Ping | Silence::Wait => {}
        }
        false
    }

    fn judge_quiet(&mut self, now: Time) -> Verdict {
        if self.quiet_due().is_none_or(|due| due > now) {
            return Verdict::Wait;
        }
        self.watch.as_mut().map_or(Verdict::Wait, |watch| watch.judge(&self.quiet, now))
    }

    /// Asks the peer whether it is alive; whether that is to be flushed. Over HTTP/1.1 it cannot be
    /// asked, and that it says nothing else tells.
    fn ask(&mut self, now: Time) -> bool {
        self.note_carried();
        let Some(watch) = &mut self.watch else { return false };
        let asked = match &mut self.pings {
            None => watch.ask(&self.quiet, LATE, now),
            Some(pings) => {
                if !pings.is_unanswered() && pings.begin_first(now) {
                    self.codec.ping(ALIVE_PING);
                }
                pings.is_unanswered() && watch.ask(&self.quiet, ANSWERS, now)
            }
        };
        self.alarm.stale |= asked;
        asked
    }

    /// Before a PING or its answer is counted: what came before it frees the budget.
    fn note_carried(&mut self) {
        if self.codec.take_carried()
            && let Some(pings) = &mut self.pings
        {
            pings.note_message();
        }
    }
}
