//! The driver: reads, has it parsed, hands events to streams, and writes once a turn.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::super::deadlines::LEAVE_PING;
use super::super::stream::{Over, Stream};
use super::core::find;
use super::{Closed, Conn, Core, Phase};
use crate::http2::{ConnectionError, ErrorCode, Event};
use crate::model::Time;

/// Reads in a row before others have their turn.
const READS_A_TURN: usize = 4;

/// Output that a peer may leave unread before nothing more is read from it.
const OUTPUT_LIMIT: usize = 512 << 10;

impl Conn {
    pub(super) fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Closed> {
        if !self.waker.borrow().as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
        }
        self.worker.read_clock();
        if self.core.borrow().stalled.is_some() {
            self.flush_later();
        }
        for _ in 0..READS_A_TURN {
            let (phase, full) = {
                let core = self.core.borrow();
                (core.phase, core.h2.output_len() > OUTPUT_LIMIT)
            };
            match phase {
                Phase::Closed(why) => return Poll::Ready(why),
                Phase::Open if full => return Poll::Pending, // writing wakes this task
                Phase::Open | Phase::Lingering(..) => {}
            }
            if self.read(cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once and handles what came.
    fn read(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = self.worker.read_buffer.borrow_mut();
        let mut core = self.core.borrow_mut();
        let kept = core.partial.len();
        let Some((front, back)) = buffer.split_at_mut_checked(kept) else {
            core.phase = Phase::Closed(Closed::Io); // larger than any frame: cannot be
            return Poll::Ready(());
        };
        front.copy_from_slice(&core.partial);
        let n = match core.io.poll_read(cx, back) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(_)) => {
                core.end(Closed::Io);
                return Poll::Ready(());
            }
        };
        if n == 0 {
            core.end(Closed::Peer);
            return Poll::Ready(());
        }
        if core.phase != Phase::Open {
            core.partial.clear();
            return Poll::Ready(());
        }
        let mut input = buffer.get(..kept + n).unwrap_or_default();
        let before = core.h2.available();
        let mut changed = self.handle(&mut core, &mut input);
        core.h2.pump();
        changed |= core.h2.available() != before;
        let frames_ended = input.len() < kept + n;
        core.keep(input, frames_ended, self.worker.now());
        let flush = core.h2.output_len() > 0 || core.h2.pending_bytes() > 0;
        drop(core);
        drop(buffer);
        if flush {
            self.flush_later();
        }
        if changed {
            self.handler.changed();
        }
        Poll::Ready(())
    }

    /// Handles every event in `input` and leaves the rest of it. Whether the peer's readiness
    /// for streams may have changed.
    fn handle(self: &Rc<Self>, core: &mut Core, input: &mut &[u8]) -> bool {
        let now = self.worker.now();
        let mut changed = false;
        loop {
            let mut pool = self.worker.headers.borrow_mut();
            let event = core.h2.receive(input, now.as_millis(), &mut pool);
            drop(pool);
            match event {
                Ok(Some(event)) => changed |= self.event(core, event, now),
                Ok(None) => return changed,
                Err(error) => {
                    self.fault(core, error);
                    return true;
                }
            }
        }
    }

    fn event(self: &Rc<Self>, core: &mut Core, event: Event<'_>, now: Time) -> bool {
        match event {
            Event::Data { key, payload, end } => {
                let Core { h2, streams, .. } = core;
                if let Some(stream) = find(streams, key) {
                    stream.on_data(h2, payload, end, now);
                }
            }
            Event::Request { key, headers, end } => {
                let stream = Stream::new(self, key);
                core.put(key, &stream);
                core.idle = None;
                self.handler.request(stream, headers, end);
            }
            Event::Oversized { key, headers } => {
                let stream = Stream::new(self, key);
                core.put(key, &stream);
                self.handler.oversized(stream, headers);
            }
            Event::Response { key, headers, end } => match find(&core.streams, key) {
                Some(stream) => stream.on_head(headers, end, now),
                None => self.worker.recycle(headers),
            },
            Event::Informational { key, headers } => match find(&core.streams, key) {
                Some(stream) => stream.on_informational(headers, now),
                None => self.worker.recycle(headers),
            },
            Event::Trailers { key, headers } => match find(&core.streams, key) {
                Some(stream) => stream.on_trailers(headers, now),
                None => self.worker.recycle(headers),
            },
            Event::Reset { key, code, cause } => {
                if let Some(stream) = core.take(key) {
                    stream.on_over(Over::Reset { code, cause });
                }
                return true;
            }
            Event::Settings => return true,
            Event::GoAway { .. } => {
                if !core.h2.is_busy() {
                    core.linger(Closed::Peer, now);
                }
                return true;
            }
            Event::Pong(payload) => {
                if payload == LEAVE_PING {
                    core.h2.leave(ErrorCode::NO_ERROR, "");
                }
            }
        }
        false
    }

    fn fault(&self, core: &mut Core, error: ConnectionError) {
        tracing::debug!(%error, "connection closed for an error of its peer");
        core.linger(Closed::Fault(error.fault), self.worker.now());
        for stream in core.streams.drain(..).flatten() {
            stream.on_over(Over::Lost);
        }
    }

    pub(super) fn fail_streams(&self) {
        let streams = std::mem::take(&mut self.core.borrow_mut().streams);
        for stream in streams.into_iter().flatten() {
            stream.on_over(Over::Lost);
        }
    }

    /// Writes what the socket takes. What does not fit is written when it has room again.
    pub(in crate::net) fn flush(self: &Rc<Self>) {
        self.dirty.set(false);
        let waker = self.waker.borrow().clone().unwrap_or_else(|| Waker::noop().clone());
        let mut cx = Context::from_waker(&waker);
        let mut core = self.core.borrow_mut();
        let was_full = core.h2.output_len() > OUTPUT_LIMIT;
        let result = core.write(&mut cx, self.worker.now());
        let wake = result.is_err() || (was_full && core.h2.output_len() <= OUTPUT_LIMIT);
        if result.is_err() {
            core.end(Closed::Io);
        }
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
        while let Some((key, n)) = core.h2.next_drained() {
            if let Some(stream) = find(&core.streams, key) {
                stream.on_drained(n, !core.h2.is_open(key), now);
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
                Phase::Open => core.h2.pending_bytes(),
                _ => 0,
            };
            self.worker.account(before, core.held);
            (core.held, core.h2.limits().connection_buffer as usize)
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
        let Some((_, key)) = core.h2.slowest().filter(|(held, _)| *held > 0) else { return };
        core.h2.reset(key, ErrorCode::ENHANCE_YOUR_CALM);
        if let Some(stream) = core.take(key) {
            stream.on_over(Over::Overflow);
        }
        drop(core);
        self.flush_later(); // which brings the account up to date
    }
}
