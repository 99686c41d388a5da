//! The connection driver: reads, parses, and dispatches events to streams.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::super::stream::{Over, Stream};
use super::flush::OUTPUT_LIMIT;
use super::state::find;
use super::{Closed, Conn, ConnState, Phase};
use crate::http::{Connection, ConnectionError, Event, Key, Role};
use crate::model::Time;

/// Unparsed bytes beyond which reading stops while the codec is blocked. Up to that it goes on,
/// since a read is what detects a closed peer.
const BLOCKED_LIMIT: usize = 16 << 10;

impl ConnState {
    /// Whether reading is paused.
    fn waits(&self) -> bool {
        let full = self.partial.len() >= BLOCKED_LIMIT && self.blocked && self.codec.is_blocked();
        let nothing_new = self.ended && !self.is_unblocked();
        self.codec.output_len() > OUTPUT_LIMIT || full || nothing_new
    }

    /// Reads into `buffer`, unless buffered input can be parsed now or the read side is closed.
    fn more(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<std::io::Result<usize>> {
        if self.ended || self.is_unblocked() {
            return Poll::Ready(Ok(0));
        }
        let read = ready!(self.io.poll_read(cx, buffer))?;
        if read == 0 && self.write_closed {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        self.ended = read == 0;
        self.alarm.stale |= self.ended;
        Poll::Ready(Ok(read))
    }
}

impl Conn {
    pub(super) fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Closed> {
        if !self.waker.borrow().as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
        }
        let due = self.check_deadlines(self.worker.read_clock());
        if self.core.borrow().stalled.is_some() {
            self.flush_later();
        }
        let polled = self.read_some(cx);
        if due && polled.is_pending() {
            self.check_silence();
        }
        self.set_alarm();
        polled
    }

    /// Reads up to the fair share of a turn, and processes the input.
    fn read_some(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Closed> {
        for reads in 0.. {
            let (phase, waits) = {
                let core = self.core.borrow();
                (core.phase, core.waits())
            };
            match phase {
                Phase::Closed(why) => return Poll::Ready(why),
                Phase::Open if waits => return Poll::Pending, // the flush wakes this task
                Phase::Open | Phase::Lingering(..) => {}
            }
            let Some(most) = self.may_read(reads) else { break };
            if self.read(most, cx).is_pending() {
                break;
            }
        }
        Poll::Pending
    }

    /// Reads once, at most `most` bytes, and processes the input.
    fn read(self: &Rc<Self>, most: usize, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = self.worker.read_buffer.take();
        let read = self.read_into(&mut buffer, most, cx);
        if let Poll::Ready(Some(n)) = read {
            self.process_input(buffer.get(..n).unwrap_or_default());
        }
        self.worker.read_buffer.replace(buffer);
        read.map(drop)
    }

    /// Reads once, appending to the partial input. Returns how much there is to parse, if anything.
    fn read_into(
        self: &Rc<Self>,
        buffer: &mut Vec<u8>,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<usize>> {
        let mut core = self.core.borrow_mut();
        let kept = core.partial.len();
        if buffer.len() < kept + most {
            buffer.resize(kept + most, 0);
        }
        let (front, back) = buffer.split_at_mut(kept);
        let back = back.get_mut(..most).unwrap_or_default();
        front.copy_from_slice(&core.partial);
        let n = match core.more(cx, back) {
            Poll::Pending => {
                self.has_read(0);
                return Poll::Pending;
            }
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(_)) => {
                drop(core);
                self.connection_lost();
                return Poll::Ready(None);
            }
        };
        self.has_read(n);
        if core.phase != Phase::Open {
            core.partial.clear();
            match core.ended {
                true => core.end(Closed::Peer),
                false => core.extend_linger(self.worker.now()),
            }
            return Poll::Ready(None);
        }
        if n > 0 {
            let now = self.worker.now();
            (core.peer_active, core.silence.last_received) = (true, now);
            self.owner.note_received(now);
        }
        Poll::Ready(Some(kept + n))
    }

    /// Processes the input and buffers what cannot be parsed yet.
    fn process_input(self: &Rc<Self>, input: &[u8]) {
        let before = self.core.borrow().codec.available();
        let mut rest = input;
        let mut changed = self.handle_all(&mut rest);
        let refusals = {
            let mut core = self.core.borrow_mut();
            core.codec.pump();
            changed |= core.codec.available() != before;
            core.keep(rest, rest.len() < input.len(), self.worker.now());
            if !core.codec.is_busy() {
                core.note_idle(self.worker.now());
            }
            core.alarm.stale |= self.cancels.needs_update(&core);
            core.codec.take_refused()
        };
        self.owner.refused(refusals);
        changed |= self.end_of_input();
        if self.core.borrow().has_to_be_flushed() {
            self.flush_later();
        }
        if changed {
            self.owner.changed();
        }
    }

    /// Parses `input` and dispatches the events, which may unblock the rest of it.
    fn handle_all(self: &Rc<Self>, input: &mut &[u8]) -> bool {
        let is_blocked = || self.core.borrow().codec.is_blocked();
        let mut changed = false;
        loop {
            let waits = self.worker.executor.run_events(|| {
                changed |= self.handle(input);
                let waits = is_blocked();
                self.forward_coalesced();
                waits
            });
            if !waits || is_blocked() {
                return changed;
            }
        }
    }

    /// Dispatches every event in `input`, leaving the unparsed rest. Whether the stream capacity
    /// may have changed.
    fn handle(self: &Rc<Self>, input: &mut &[u8]) -> bool {
        let now = self.worker.now();
        let mut changed = false;
        loop {
            match self.next_event(input, now) {
                Ok(Some(event)) => changed |= self.dispatch(event, now),
                Ok(None) => return changed,
                Err(error) => {
                    self.fault(error);
                    return true;
                }
            }
        }
    }

    /// Parses the next event of `input`. Dispatching it is left to the caller, outside the borrow
    /// of the connection, so that handlers may use the connection. Only DATA is forwarded to the
    /// other connections from in here.
    fn next_event(&self, input: &mut &[u8], now: Time) -> Result<Option<Event>, ConnectionError> {
        let mut pool = self.worker.headers.borrow_mut();
        let ConnState { codec, streams, .. } = &mut *self.core.borrow_mut();
        codec.receive(input, now.as_millis(), &mut pool, |key, payload, end| {
            find(streams, key).map_or(0, |stream| stream.on_data(payload, end, now))
        })
    }

    /// Forwards the small DATA that streams coalesced during this read.
    fn forward_coalesced(&self) {
        if self.worker.coalescing.borrow().is_empty() {
            return;
        }
        let mut coalescing = self.worker.coalescing.take();
        for stream in coalescing.drain(..) {
            let credit = stream.forward_coalesced();
            self.core.borrow_mut().codec.release(stream.key(), credit);
        }
        self.worker.coalescing.replace(coalescing);
    }

    /// Acts on end of input, once everything before it was parsed.
    fn end_of_input(self: &Rc<Self>) -> bool {
        let (event, over) = {
            let mut core = self.core.borrow_mut();
            if !core.ended || !core.has_parsed_all() {
                return false;
            }
            let event = core.codec.end_of_input();
            let over = event.is_none() || !core.codec.is_busy();
            (event, over)
        };
        let changed = event.is_some_and(|event| self.dispatch(event, self.worker.now()));
        let mut core = self.core.borrow_mut();
        if core.has_to_answer() {
            core.codec.leave();
        } else if over {
            let why = core.reason();
            core.end(why);
        }
        changed
    }

    /// The write side failed. An early response that the backend sent without reading the whole
    /// request is still to be read.
    pub(super) fn write_failed(self: &Rc<Self>) {
        let mut core = self.core.borrow_mut();
        if core.codec.role() == Role::Client && core.phase == Phase::Open && !core.waits() {
            core.write_closed = true;
            core.codec.leave();
        } else {
            drop(core);
            self.connection_lost();
        }
    }

    /// The connection failed in both directions.
    fn connection_lost(self: &Rc<Self>) {
        let event = self.core.borrow_mut().codec.connection_lost();
        if let Some(event) = event {
            self.dispatch(event, self.worker.now());
        }
        self.core.borrow_mut().end(Closed::Io);
    }

    /// Dispatches an event. Whether the stream capacity may have changed.
    fn dispatch(self: &Rc<Self>, event: Event, now: Time) -> bool {
        match event {
            Event::End { key } => {
                if let Some(stream) = self.stream(key) {
                    stream.on_data(&[], true, now);
                }
            }
            Event::Request { key, headers, end } => {
                let stream = self.begin(key);
                self.owner.request(stream, headers, end);
            }
            Event::Oversized { key, headers } => {
                let stream = self.begin(key);
                self.owner.oversized(stream, headers);
            }
            Event::Response { key, headers, end } => match self.stream(key) {
                Some(stream) => stream.on_head(headers, end, now),
                None => self.worker.recycle(headers),
            },
            Event::Informational { key, headers } => match self.stream(key) {
                Some(stream) => stream.on_informational(headers, now),
                None => self.worker.recycle(headers),
            },
            Event::Trailers { key, headers } => match self.stream(key) {
                Some(stream) => stream.on_trailers(headers, now),
                None => self.worker.recycle(headers),
            },
            Event::Reset { key, code, cause } => {
                let stream = self.core.borrow_mut().take(key);
                if let Some(stream) = stream {
                    stream.on_over(Over::Reset { code, cause });
                }
                return true;
            }
            Event::Settings => return true,
            Event::GoAway { too_many_pings, .. } => {
                self.goaway_received(too_many_pings, now);
                return true;
            }
            Event::Pong(payload) => self.core.borrow_mut().pong(payload, now),
        }
        false
    }

    /// Creates the stream of this key, opened by a client.
    fn begin(self: &Rc<Self>, key: Key) -> Rc<Stream> {
        let mut core = self.core.borrow_mut();
        core.idle = None;
        core.begin(self, key)
    }

    /// The stream of this key, if it is still registered.
    fn stream(&self, key: Key) -> Option<Rc<Stream>> {
        find(&self.core.borrow().streams, key).map(Rc::clone)
    }

    fn fault(&self, error: ConnectionError) {
        tracing::debug!(%error, "connection closed for an error of its peer");
        self.core.borrow_mut().linger(Closed::Fault(error.fault), self.worker.now());
        self.fail_streams(Over::Fault);
    }

    pub(super) fn fail_streams(&self, over: Over) {
        let streams = self.core.borrow_mut().take_all();
        for stream in streams.into_iter().flatten() {
            stream.on_over(over);
        }
    }
}
