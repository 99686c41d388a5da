//! Flushes the output once a turn, or early when it is large; then returns credit for what was
//! written.

use std::rc::Rc;
use std::task::{Context, Waker};

use super::super::stream::{Over, Stream};
use super::state::find;
use super::{Conn, ConnState, OutputKind, Phase};
use crate::http::{Connection, ErrorCode, Role};

/// Output size that triggers a write before the end of the turn.
const EARLY_WRITE: usize = 48 << 10;

/// Pending output at which reading from the peer stops (backpressure).
pub const OUTPUT_LIMIT: usize = 512 << 10;

impl Conn {
    /// Writes early once the output is large, while it is hot in the cache. Errors and waking the
    /// driver are left to [`Conn::flush`], which meets the same error again.
    pub(in crate::net) fn write_early(&self, core: &mut ConnState) {
        if (EARLY_WRITE..=OUTPUT_LIMIT).contains(&core.codec.output_len()) && core.stalled.is_none()
        {
            let waker = self.waker.borrow();
            let mut cx = Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()));
            let before = core.codec.output_len();
            let _ = core.write(&mut cx, self.worker.now());
            let written = before.saturating_sub(core.codec.output_len());
            self.worker.turn.borrow_mut().note(Some(written));
        }
    }

    /// Writes what the socket accepts; the rest when it is writable again.
    pub(in crate::net) fn flush(self: &Rc<Self>) {
        self.dirty.set(OutputKind::No);
        let (failed, wake) = {
            let waker = self.waker.borrow();
            let mut cx = Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()));
            let mut core = self.core.borrow_mut();
            let was_full = core.codec.output_len() > OUTPUT_LIMIT;
            let failed = core.write(&mut cx, self.worker.now()).is_err();
            if core.codec.pending_bytes() > 0 {
                core.codec.output().shrink(); // the peer's windows are exhausted, maybe for long
            }
            let has_room = was_full && core.codec.output_len() <= OUTPUT_LIMIT;
            // A closed but stalled one has nothing to do until the socket is writable.
            let closed = matches!(core.phase, Phase::Closed(_));
            let over = closed || (core.ended && core.stalled.is_none());
            core.alarm.stale |= self.cancels.needs_update(&core);
            (failed, failed || has_room || core.is_unblocked() || over)
        };
        if failed {
            self.write_failed();
        }
        self.settle_drained();
        self.account();
        self.set_alarm();
        if wake {
            self.wake();
        }
    }

    /// Returns credit for queued bytes that were written to the streams that feed them.
    fn settle_drained(&self) {
        let now = self.worker.now();
        while let Some((stream, bytes, done)) = self.next_drained() {
            if let Some(stream) = stream {
                stream.on_drained(bytes, done, now);
            }
        }
    }

    /// The next stream of which queued bytes were written, if it is registered; how many, and whether it
    /// is done.
    fn next_drained(&self) -> Option<(Option<Rc<Stream>>, usize, bool)> {
        let mut core = self.core.borrow_mut();
        let (key, bytes) = core.codec.next_drained()?;
        Some((find(&core.streams, key).map(Rc::clone), bytes, !core.codec.is_open(key)))
    }

    /// Updates the worker's memory account; above the connection's limit it sheds memory.
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
            self.shed_memory();
        }
    }

    /// Accounts for bytes that a client leaves unread: queued on its streams and, while the socket
    /// is full, in the output buffer.
    fn note_unread(&self, core: &mut ConnState) {
        if core.codec.role() == Role::Server {
            let stalled = core.phase == Phase::Open && core.stalled.is_some();
            let unread = core.held + if stalled { core.codec.output_len() } else { 0 };
            self.worker.unread.account(std::mem::replace(&mut core.unread, unread), unread);
        }
    }

    /// Accounts for the buffered bytes of a stream's body.
    pub(in crate::net) fn note_kept(&self, before: usize, after: usize) {
        if before != after {
            self.bodies.set((self.bodies.get() + after).saturating_sub(before));
            self.worker.account.change(before, after);
        }
    }

    /// Bytes held for its streams: queued output and buffered bodies.
    pub(in crate::net) fn held(&self) -> usize {
        self.core.borrow().held + self.bodies.get()
    }

    /// Sheds memory: drops the replay buffers or, if there were none, resets the stream that holds
    /// most.
    pub(in crate::net) fn shed_memory(self: &Rc<Self>) {
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
        self.flush_later(); // which updates the account
    }
}
