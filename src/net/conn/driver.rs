//! The driver: reads, has it parsed, and hands events to streams.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::super::deadlines::LEAVE_PING;
use super::super::stream::Over;
use super::core::find;
use super::flush::OUTPUT_LIMIT;
use super::{Closed, Codec, Conn, Core, Phase};
use crate::http2::{ConnectionError, Event, Role};
use crate::model::Time;

/// Reads in a row before others have their turn.
const READS_A_TURN: usize = 4;

/// One read at most, after what was left of the last one.
const READ: usize = 64 << 10;

/// Bytes that may wait to be looked at before nothing more is read. Until then reading goes on,
/// as it tells when the peer is gone.
const BLOCKED_LIMIT: usize = 16 << 10;

impl Core {
    /// Whether nothing is to be read now.
    fn waits(&self) -> bool {
        let full = self.partial.len() >= BLOCKED_LIMIT && self.blocked && self.codec.is_blocked();
        let nothing_new = self.ended && !self.is_unblocked();
        self.codec.output_len() > OUTPUT_LIMIT || full || nothing_new
    }

    /// Reads into `buffer`, unless there is enough to go on with: what was kept can be looked at
    /// now, or nothing more will come.
    fn more(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<std::io::Result<usize>> {
        if self.ended || self.is_unblocked() {
            return Poll::Ready(Ok(0));
        }
        let read = ready!(self.io.poll_read(cx, buffer))?;
        if read == 0 && self.deaf {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
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
            match core.ended {
                true => core.end(Closed::Peer),
                false => core.overhear(self.worker.now()),
            }
            return Poll::Ready(());
        }
        core.has_spoken |= n > 0;
        let mut input = buffer.get(..kept + n).unwrap_or_default();
        let before = core.codec.available();
        let mut changed = self.handle_all(&mut core, &mut input);
        core.codec.pump();
        changed |= core.codec.available() != before;
        let refusals = core.codec.take_refusals();
        if !refusals.is_empty() {
            self.handler.refused(refusals);
        }
        let frames_ended = input.len() < kept + n;
        core.keep(input, frames_ended, self.worker.now());
        if core.ended && core.has_heard_all() {
            changed |= self.end_of_input(&mut core);
        }
        let over = core.codec.is_leaving() && !core.codec.is_busy();
        let flush = core.codec.output_len() > 0 || core.codec.pending_bytes() > 0 || over;
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
        if core.has_to_answer() {
            core.codec.leave();
        } else if over {
            core.end(Closed::Peer);
        }
        changed
    }

    /// Nothing can be written any more. What a backend has said before, an answer that it gave
    /// without reading all of the request, is still to be read.
    pub(super) fn unheard(self: &Rc<Self>, core: &mut Core) {
        if core.codec.role() == Role::Client && core.phase == Phase::Open && !core.waits() {
            core.deaf = true;
            core.codec.leave();
        } else {
            self.broken_off(core);
        }
    }

    /// Neither side hears the other any more.
    pub(super) fn broken_off(self: &Rc<Self>, core: &mut Core) {
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
}
