//! Writing: once a turn, or sooner where there is much, and what follows from what has left.

use std::rc::Rc;
use std::task::{Context, Waker};

use super::super::stream::Over;
use super::core::find;
use super::{Conn, Core, Dirty, Phase};
use crate::http2::ErrorCode;

/// Output that is worth a write before the end of the turn.
const EARLY: usize = 48 << 10;

/// Output that a peer may leave unread before nothing more is read from it.
pub const OUTPUT_LIMIT: usize = 512 << 10;

impl Conn {
    /// Writes before the end of the turn once there is much to write, while it is in the cache.
    /// All else is left to [`Conn::flush`]: it comes to know of an error again, and wakes the driver
    /// that has stopped reading for too much output.
    pub(in crate::net) fn write_early(&self, core: &mut Core) {
        if (EARLY..=OUTPUT_LIMIT).contains(&core.codec.output_len()) && core.stalled.is_none() {
            let waker = self.waker.borrow();
            let mut cx = Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()));
            let before = core.codec.output_len();
            let _ = core.write(&mut cx, self.worker.now());
            let written = before.saturating_sub(core.codec.output_len());
            self.worker.turn.borrow_mut().note(Some(written));
        }
    }

    /// Writes what the socket takes. What does not fit is written when it has room again.
    pub(in crate::net) fn flush(self: &Rc<Self>) {
        self.dirty.set(Dirty::No);
        let waker = self.waker.borrow();
        let mut cx = Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()));
        let mut core = self.core.borrow_mut();
        let was_full = core.codec.output_len() > OUTPUT_LIMIT;
        let result = core.write(&mut cx, self.worker.now());
        let has_room = was_full && core.codec.output_len() <= OUTPUT_LIMIT;
        let over = core.ended || matches!(core.phase, Phase::Closed(_));
        let wake = result.is_err() || has_room || core.is_unblocked() || over;
        if result.is_err() {
            self.unheard(&mut core);
        }
        drop(waker);
        self.settle_drained(&mut core);
        drop(core);
        self.account();
        if wake {
            self.wake();
        }
    }

    /// Gives credit back for what has left, to whoever feeds those streams.
    fn settle_drained(&self, core: &mut Core) {
        let now = self.worker.now();
        while let Some((key, n)) = core.codec.next_drained() {
            if let Some(stream) = find(&core.streams, key) {
                stream.on_drained(n, !core.codec.is_open(key), now);
            }
        }
    }

    /// Brings the account of what slow streams hold up to date; beyond the connection's bound
    /// the slowest stream is reset.
    pub(in crate::net) fn account(self: &Rc<Self>) {
        let (held, limit) = {
            let mut core = self.core.borrow_mut();
            let before = core.held;
            core.held = match core.phase {
                Phase::Open => core.codec.pending_bytes(),
                _ => 0,
            };
            self.worker.account(before, core.held);
            (core.held, core.codec.limits().connection_buffer as usize)
        };
        if held > limit {
            self.reset_slowest();
        }
    }

    /// Bytes that slow streams hold here.
    pub(in crate::net) fn held(&self) -> usize {
        self.core.borrow().held
    }

    /// Resets the stream that holds most.
    pub(in crate::net) fn reset_slowest(self: &Rc<Self>) {
        let mut core = self.core.borrow_mut();
        let Some((_, key)) = core.codec.slowest().filter(|(held, _)| *held > 0) else { return };
        core.codec.reset(key, ErrorCode::ENHANCE_YOUR_CALM);
        if let Some(stream) = core.take(key) {
            stream.on_over(Over::Overflow);
        }
        drop(core);
        self.flush_later(); // which brings the account up to date
    }
}
