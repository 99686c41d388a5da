//! The driver: reads, has it parsed, hands events to streams, and writes once a turn.

use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::super::deadlines::LEAVE_PING;
use super::super::stream::Over;
use super::core::find;
use super::{Closed, Codec, Conn, Core, Dirty, Phase};
use crate::http2::{ConnectionError, ErrorCode, Event};
use crate::model::Time;

/// Reads in a row before others have their turn.
const READS_A_TURN: usize = 4;

/// One read at most, after what was left of the last one.
const READ: usize = 64 << 10;

/// Output that is worth a write before the end of the turn.
const EARLY: usize = 48 << 10;

/// Output that a peer may leave unread before nothing more is read from it.
const OUTPUT_LIMIT: usize = 512 << 10;

/// Bytes that may wait to be looked at before nothing more is read. Until then reading goes on,
/// as it tells when the peer is gone.
const BLOCKED_LIMIT: usize = 16 << 10;

impl Core {
    /// Whether nothing is to be read now.
    fn waits(&self) -> bool {
        let blocked = self.blocked && self.codec.is_blocked();
        let enough = self.ended || self.partial.len() >= BLOCKED_LIMIT;
        self.codec.output_len() > OUTPUT_LIMIT || (blocked && enough)
    }

    /// Reads into `buffer`, unless there is enough to go on with: what was kept can be looked at
    /// now, or nothing more will come.
    fn more(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<std::io::Result<usize>> {
        if self.ended || self.is_unblocked() {
            return Poll::Ready(Ok(0));
        }
        let read = ready!(self.io.poll_read(cx, buffer))?;
        self.ended = read == 0;
        Poll::Ready(Ok(read))
    }
}

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
            let (phase, waits) = {
                let core = self.core.borrow();
                (core.phase, core.waits())
            };
            match phase {
                Phase::Closed(why) => return Poll::Ready(why),
                Phase::Open if waits => return Poll::Pending, // writing wakes this task
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
        if buffer.len() < kept + READ {
            buffer.resize(kept + READ, 0);
        }
        let (front, back) = buffer.split_at_mut(kept);
        front.copy_from_slice(&core.partial);
        let n = match core.more(cx, back) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(_)) => {
                self.broken_off(&mut core);
                return Poll::Ready(());
            }
        };
        if core.phase != Phase::Open {
            core.partial.clear();
            if core.ended {
                core.end(Closed::Peer);
            }
            return Poll::Ready(());
        }
        core.has_spoken |= n > 0;
        let mut input = buffer.get(..kept + n).unwrap_or_default();
        let before = core.codec.available();
        let mut changed = self.handle_all(&mut core, &mut input);
        core.codec.pump();
        changed |= core.codec.available() != before;
        let frames_ended = input.len() < kept + n;
        core.keep(input, frames_ended, self.worker.now());
        if core.ended && !(core.blocked && core.codec.outlives_input()) {
            changed |= self.end_of_input(&mut core);
        }
        let flush = core.codec.output_len() > 0 || core.codec.pending_bytes() > 0;
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

    /// Handles `input` and hands on what it brought, which may make room for the rest of it.
    fn handle_all(self: &Rc<Self>, core: &mut Core, input: &mut &[u8]) -> bool {
        let mut changed = false;
        loop {
            changed |= self.handle(core, input);
            let waits = core.codec.is_blocked();
            self.pass_on(core);
            if !waits || core.codec.is_blocked() {
                return changed;
            }
        }
    }

    /// Handles every event in `input` and leaves the rest of it. Whether the peer's readiness
    /// for streams may have changed.
    fn handle(self: &Rc<Self>, core: &mut Core, input: &mut &[u8]) -> bool {
        let now = self.worker.now();
        let mut changed = false;
        loop {
            let mut pool = self.worker.headers.borrow_mut();
            let Core { codec, streams, .. } = &mut *core;
            let event = codec.receive(input, now, &mut pool, |key, payload, end| {
                find(streams, key).map_or(0, |stream| stream.on_data(payload, end, now))
            });
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

    /// Hands on what the streams have gathered of this read.
    fn pass_on(&self, core: &mut Core) {
        let mut gathering = self.worker.gathering.borrow_mut();
        for stream in gathering.drain(..) {
            core.codec.release(stream.key(), stream.pass_on());
        }
    }

    /// All that the peer has sent was looked at.
    fn end_of_input(self: &Rc<Self>, core: &mut Core) -> bool {
        let event = core.codec.end_of_input();
        let over = event.is_none() || !core.codec.is_busy();
        let changed = event.is_some_and(|event| self.event(core, event, self.worker.now()));
        if over {
            core.end(Closed::Peer);
        }
        changed
    }

    /// Neither side hears the other any more.
    fn broken_off(self: &Rc<Self>, core: &mut Core) {
        if let Some(event) = core.codec.broken_off() {
            self.event(core, event, self.worker.now());
        }
        core.end(Closed::Io);
    }

    fn event(self: &Rc<Self>, core: &mut Core, event: Event, now: Time) -> bool {
        match event {
            Event::End { key } => {
                if let Some(stream) = find(&core.streams, key) {
                    stream.on_data(&[], true, now);
                }
            }
            Event::Request { key, headers, end } => {
                let stream = core.begin(self, key);
                core.idle = None;
                self.http1.set(matches!(core.codec, Codec::H1(_)));
                self.handler.request(stream, headers, end);
            }
            Event::Oversized { key, headers } => {
                let stream = core.begin(self, key);
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
                if !core.codec.is_busy() {
                    core.linger(Closed::Peer, now);
                }
                return true;
            }
            Event::Pong(payload) => {
                if payload == LEAVE_PING {
                    core.codec.leave();
                }
            }
        }
        false
    }

    fn fault(&self, core: &mut Core, error: ConnectionError) {
        tracing::debug!(%error, "connection closed for an error of its peer");
        core.linger(Closed::Fault(error.fault), self.worker.now());
        for stream in core.take_all().into_iter().flatten() {
            stream.on_over(Over::Lost);
        }
    }

    pub(super) fn fail_streams(&self) {
        let streams = self.core.borrow_mut().take_all();
        for stream in streams.into_iter().flatten() {
            stream.on_over(Over::Lost);
        }
    }

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
        let wake = result.is_err() || has_room || core.is_unblocked();
        if result.is_err() {
            self.broken_off(&mut core);
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
