//! Keepalive: what a connection tells of its silence, and what becomes of it.

use super::super::keepalive::Silence;
use super::timeouts::LEAVE_PING;
use super::{Closed, Conn, ConnState};
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
        if !core.codec.is_busy() {
            let why = core.reason();
            core.linger(why, now);
        }
    }
}

impl ConnState {
    /// The peer owes an answer, after a time without streams.
    pub fn note_owed(&mut self, now: Time) {
        if let Some(pings) = &mut self.pings {
            pings.note_owed(self.heard, now);
            let due = pings.due(self.heard, true);
            due.into_iter().for_each(|due| self.alarm.note(due));
        }
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

    /// When to look at the silence.
    pub fn silence_due(&self) -> Option<Time> {
        self.pings.as_ref()?.due(self.heard, self.codec.is_busy())
    }

    /// Acts on a silence that is due: sends a PING if it may, or says that the connection is dead.
    pub fn judge_silence(&mut self, now: Time) -> Option<Closed> {
        self.note_carried();
        let pings = self.pings.as_mut()?;
        match pings.judge(self.heard, now) {
            Silence::Dead => return Some(Closed::Keepalive),
            Silence::Ping if pings.begin(now) => self.codec.ping(ALIVE_PING),
            Silence::Ping | Silence::Wait => {}
        }
        None
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
