//! Writing: once a turn, or sooner where there is much, and what follows from what has left.

use std::rc::Rc;
use std::task::{Context, Waker};

use super::super::stream::{Over, Stream};
use super::core::find;
use super::{Conn, Core, Dirty, Phase};
use crate::http::{ErrorCode, Role};

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
        let (failed, wake) = {
            let waker = self.waker.borrow();
            let mut cx = Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()));
            let mut core = self.core.borrow_mut();
            let was_full = core.codec.output_len() > OUTPUT_LIMIT;
            let failed = core.write(&mut cx, self.worker.now()).is_err();
            if core.codec.pending_bytes() > 0 {
                core.codec.output().shrink(); // its windows are spent, who knows for how long
            }
            let has_room = was_full && core.codec.output_len() <= OUTPUT_LIMIT;
            // One that has ended and is stalled has nothing to do until the peer takes something.
            let closed = matches!(core.phase, Phase::Closed(_));
            let over = closed || (core.ended && core.stalled.is_none());
            core.alarm.stale |= self.cancels.are_behind(&core);
            (failed, failed || has_room || core.is_unblocked() || over)
        };
        if failed {
            self.unheard();
        }
        self.settle_drained();
        self.account();
        self.set_alarm();
        if wake {
            self.wake();
        }
    }

    /// Gives credit back for what has left, to whoever feeds those streams.
    fn settle_drained(&self) {
        let now = self.worker.now();
        while let Some((stream, bytes, done)) = self.next_drained() {
            if let Some(stream) = stream {
                stream.on_drained(bytes, done, now);
            }
        }
    }

    /// A stream for which bytes that had waited have left, if somebody waits for its events, how many,
    /// and whether it is over.
    fn next_drained(&self) -> Option<(Option<Rc<Stream>>, usize, bool)> {
        let mut core = self.core.borrow_mut();
        let (key, bytes) = core.codec.next_drained()?;
        Some((find(&core.streams, key).map(Rc::clone), bytes, !core.codec.is_open(key)))
    }

    /// Brings the account of what slow streams hold up to date; beyond the connection's bound
    /// it has to hold less.
    pub(in crate::net) fn account(self: &Rc<Self>) {
        let limit = {
            let mut core = self.core.borrow_mut();
            let before = core.held;
            core.held = match core.phase {
                Phase::Open => core.codec.pending_bytes(),
                _ => 0,
            };
            self.worker.account.change(before, core.held);
            self.note_unread(&mut core);
            core.codec.limits().connection_buffer as usize
        };
        if self.held() > limit {
            self.relieve();
        }
    }

    /// Accounts for what a client leaves unread: what waits on its streams and, while it takes nothing,
    /// what waits for its socket.
    fn note_unread(&self, core: &mut Core) {
        if core.codec.role() == Role::Server {
            let stalled = core.phase == Phase::Open && core.stalled.is_some();
            let unread = core.held + if stalled { core.codec.output_len() } else { 0 };
            self.worker.unread.account(std::mem::replace(&mut core.unread, unread), unread);
        }
    }

    /// Accounts for what is kept of a stream's body.
    pub(in crate::net) fn note_kept(&self, before: usize, after: usize) {
        if before != after {
            self.bodies.set((self.bodies.get() + after).saturating_sub(before));
            self.worker.account.change(before, after);
        }
    }

    /// Bytes that are held for its streams: what waits to be written, and what is kept of bodies.
    pub(in crate::net) fn held(&self) -> usize {
        self.core.borrow().held + self.bodies.get()
    }

    /// Holds less: of bodies nothing is kept for other attempts any more or, if nothing was, the
    /// stream is reset that holds most.
    pub(in crate::net) fn relieve(self: &Rc<Self>) {
        let before = self.bodies.get();
        let streams: Vec<_> = self.core.borrow().streams.iter().flatten().map(Rc::clone).collect();
        streams.iter().for_each(|stream| stream.forget_replay());
        if self.bodies.get() == before {
            self.reset_largest(&streams);
        }
    }

    fn reset_largest(self: &Rc<Self>, streams: &[Rc<Stream>]) {
        let mut core = self.core.borrow_mut();
        let written = core.codec.slowest();
        let kept = streams.iter().map(|stream| (stream.kept(), stream.key()));
        let largest = kept.chain(written).max_by_key(|(held, _)| *held);
        let Some((_, key)) = largest.filter(|(held, _)| *held > 0) else { return };
        core.codec.reset(key, ErrorCode::ENHANCE_YOUR_CALM);
        let stream = core.take(key);
        drop(core);
        if let Some(stream) = stream {
            stream.on_over(Over::Overflow);
        }
        self.flush_later(); // which brings the account up to date
    }
}
