//! One HTTP/2 connection and its driver.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::io::Io;
use super::stream::{Over, Stream};
use super::worker::Worker;
use crate::http2::{
    self, Connection, ConnectionError, ErrorCode, Event, Fault, Headers, Key, OpenError,
};
use crate::model::Time;

/// Reads in a row before others have their turn.
const READS_A_TURN: usize = 4;

/// Output that a peer may leave unread before nothing more is read from it.
const OUTPUT_LIMIT: usize = 512 << 10;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer closed it.
    Peer,
    /// Reading or writing failed.
    Io,
    /// The TLS handshake failed or took too long.
    Handshake,
    /// The peer broke a rule or passed a limit.
    Fault(Fault),
    /// No preface, SETTINGS or acknowledgement in time.
    PrefaceTimeout,
    /// A frame or header block stayed unfinished.
    FrameTimeout,
    /// The peer took nothing of what waited for it.
    WriteStall,
    /// No stream for too long.
    Idle,
    /// It had reached its age.
    MaxAge,
    /// The gateway is going down.
    Drain,
}

/// What a connection's owner is told.
pub trait Handler {
    /// A client opened a stream.
    fn request(&self, stream: Rc<Stream>, headers: Headers, end: bool);

    /// A client opened a stream with more header fields than are allowed.
    fn oversized(&self, stream: Rc<Stream>, headers: Headers);

    /// A backend's connection may take more, or fewer, streams than before.
    fn changed(&self);

    /// The connection has begun.
    fn opened(&self);

    /// The connection has ended.
    fn closed(&self, why: Closed);
}

/// One HTTP/2 connection of a worker.
pub struct Conn {
    pub(super) worker: Rc<Worker>,
    pub(super) core: RefCell<Core>,
    handler: Rc<dyn Handler>,
    dirty: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    slot: Cell<usize>,
    pub(super) resets: super::deadlines::ResetBudget,
    /// Streams given up that are yet to be reset.
    pub(super) abandoned: RefCell<Vec<Key>>,
}

/// What the driver and the streams share.
pub(super) struct Core {
    pub h2: Connection,
    pub io: Io,
    /// By the slot of their keys.
    streams: Vec<Option<Rc<Stream>>>,
    /// The beginning of a frame.
    partial: Vec<u8>,
    pub phase: Phase,
    pub leaving: Option<Time>,
    pub opened: Time,
    /// Since when a frame or header block is unfinished.
    pub unfinished: Option<Time>,
    /// Since when the peer takes nothing.
    pub stalled: Option<Time>,
    /// Since when there is no stream.
    pub idle: Option<Time>,
    /// When the connection is to be asked to go.
    pub expires: Option<Time>,
    held: usize,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Everything is said; what still comes is read and dropped, so that the peer gets to read
    /// our last words, until that time.
    Lingering(Closed, Time),
    Closed(Closed),
}

impl Conn {
    /// A connection on `io`, which [`Conn::drive`] brings to life.
    pub fn new(worker: &Rc<Worker>, h2: Connection, io: Io, handler: Rc<dyn Handler>) -> Rc<Conn> {
        let now = worker.now();
        let expires = super::deadlines::expiry(worker, h2.limits(), now);
        let conn = Rc::new(Conn {
            worker: Rc::clone(worker),
            core: RefCell::new(Core {
                h2,
                io,
                streams: Vec::new(),
                partial: Vec::new(),
                phase: Phase::Open,
                leaving: None,
                opened: now,
                unfinished: None,
                stalled: None,
                idle: Some(now),
                expires,
                held: 0,
            }),
            handler,
            dirty: Cell::new(false),
            waker: RefCell::new(None),
            slot: Cell::new(usize::MAX),
            resets: super::deadlines::ResetBudget::new(now),
            abandoned: RefCell::default(),
        });
        conn.slot.set(worker.register(&Rc::downgrade(&conn)));
        conn
    }

    /// Reads until the connection ends.
    pub async fn drive(self: Rc<Self>) {
        self.handler.opened();
        self.flush_later();
        let why = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.worker.deregister(self.slot.get());
        self.fail_streams();
        self.account();
        self.handler.closed(why);
        self.handler.changed();
    }

    /// The worker that it lives on.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// How long a stream may go without a frame; `None` is for ever.
    pub fn stream_idle_timeout(&self) -> Option<std::time::Duration> {
        let timeout = self.core.borrow().h2.limits().stream_idle_timeout;
        (!timeout.is_zero()).then_some(timeout)
    }

    /// How many more streams the peer takes now.
    pub fn available(&self) -> usize {
        let core = self.core.borrow();
        if core.phase == Phase::Open { core.h2.available() } else { 0 }
    }

    /// Streams that are open.
    pub fn open_streams(&self) -> usize {
        self.core.borrow().h2.open_streams()
    }

    /// Streams given up that the peer has not been told of.
    pub fn abandoned(&self) -> usize {
        self.abandoned.borrow().len()
    }

    /// Whether the peer's SETTINGS have come.
    pub fn is_ready(&self) -> bool {
        self.core.borrow().h2.settings_seen()
    }

    /// Whether no stream will be opened here again.
    pub fn is_leaving(&self) -> bool {
        let core = self.core.borrow();
        core.phase != Phase::Open || core.h2.is_leaving()
    }

    /// Opens a stream to a backend.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open<'a>(
        self: &Rc<Self>,
        fields: impl Iterator<Item = http2::Field<'a>> + Clone,
        end: bool,
    ) -> Result<Rc<Stream>, OpenError> {
        let mut core = self.core.borrow_mut();
        let key = core.h2.open(fields, end, self.worker.now().as_millis())?;
        let stream = Stream::new(self, key);
        core.put(key, &stream);
        drop(core);
        self.flush_later();
        Ok(stream)
    }

    /// Ends the connection as soon as its streams have ended.
    pub fn retire(self: &Rc<Self>) {
        let mut core = self.core.borrow_mut();
        core.h2.leave(ErrorCode::NO_ERROR, "");
        core.leaving.get_or_insert(self.worker.now());
        drop(core);
        self.flush_later();
        self.wake();
    }

    /// Ends the connection now, with whatever is on it.
    pub fn close(self: &Rc<Self>, why: Closed) {
        let mut core = self.core.borrow_mut();
        if !matches!(core.phase, Phase::Closed(_)) {
            core.phase = Phase::Closed(why);
        }
        drop(core);
        self.wake();
    }

    /// Sees to it that the output is written at the end of this turn.
    pub(super) fn flush_later(self: &Rc<Self>) {
        if !self.dirty.replace(true) {
            self.worker.flush_later(self);
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Tells the owner that streams have come free.
    pub(super) fn changed(&self) {
        self.handler.changed();
    }

    /// Forgets a stream: nobody waits for its events any more.
    pub(super) fn forget(&self, key: Key) {
        let mut core = self.core.borrow_mut();
        if let Some(slot) = core.streams.get_mut(key.slot())
            && slot.as_ref().is_some_and(|stream| stream.key() == key)
        {
            *slot = None;
        }
    }

    fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Closed> {
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
        let changed = self.handle(&mut core, &mut input);
        core.partial.clear();
        core.partial.extend_from_slice(input);
        core.note_progress(self.worker.now());
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
                if payload == super::deadlines::LEAVE_PING {
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

    fn fail_streams(&self) {
        let streams = std::mem::take(&mut self.core.borrow_mut().streams);
        for stream in streams.into_iter().flatten() {
            stream.on_over(Over::Lost);
        }
    }

    /// Writes what the socket takes. What does not fit is written when it has room again.
    pub(super) fn flush(self: &Rc<Self>) {
        self.dirty.set(false);
        let waker = self.waker.borrow().clone().unwrap_or_else(|| Waker::noop().clone());
        let mut cx = Context::from_waker(&waker);
        let mut core = self.core.borrow_mut();
        let was_full = core.h2.output_len() > OUTPUT_LIMIT;
        let result = core.write(&mut cx, self.worker.now());
        let ended = core.finish(self.worker.now());
        let wake = result.is_err() || ended || (was_full && core.h2.output_len() <= OUTPUT_LIMIT);
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

    /// Brings the account of what slow streams hold up to date; beyond the bounds the slowest
    /// stream is reset.
    pub(super) fn account(&self) {
        let mut core = self.core.borrow_mut();
        let before = core.held;
        core.held = match core.phase {
            Phase::Open => core.h2.pending_bytes(),
            _ => 0,
        };
        let too_much = self.worker.account(before, core.held);
        if too_much || core.held > core.h2.limits().connection_buffer as usize {
            self.reset_slowest(&mut core);
        }
    }

    fn reset_slowest(&self, core: &mut Core) {
        let Some(key) = core.h2.slowest() else { return };
        core.h2.reset(key, ErrorCode::ENHANCE_YOUR_CALM);
        if let Some(stream) = core.take(key) {
            stream.on_over(Over::Overflow);
        }
        let held = core.h2.pending_bytes();
        self.worker.account(core.held, held);
        core.held = held;
    }
}

fn find(streams: &[Option<Rc<Stream>>], key: Key) -> Option<&Rc<Stream>> {
    streams.get(key.slot())?.as_ref().filter(|stream| stream.key() == key)
}

impl Core {
    fn put(&mut self, key: Key, stream: &Rc<Stream>) {
        if self.streams.len() <= key.slot() {
            self.streams.resize(key.slot() + 1, None);
        }
        if let Some(slot) = self.streams.get_mut(key.slot()) {
            *slot = Some(Rc::clone(stream));
        }
    }

    fn take(&mut self, key: Key) -> Option<Rc<Stream>> {
        self.streams.get_mut(key.slot())?.take_if(|stream| stream.key() == key)
    }

    fn end(&mut self, why: Closed) {
        let why = match self.phase {
            Phase::Lingering(why, _) | Phase::Closed(why) => why,
            Phase::Open => why,
        };
        self.phase = Phase::Closed(why);
    }

    pub(super) fn linger(&mut self, why: Closed, now: Time) {
        if self.phase == Phase::Open {
            self.phase = Phase::Lingering(why, now + super::deadlines::LINGER);
        }
    }

    /// Notes since when a frame is unfinished, or that none is.
    fn note_progress(&mut self, now: Time) {
        if self.partial.is_empty() && !self.h2.in_header_block() {
            self.unfinished = None;
        } else {
            self.unfinished.get_or_insert(now);
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Time) -> std::io::Result<()> {
        if matches!(self.phase, Phase::Closed(_)) {
            return Ok(());
        }
        loop {
            self.h2.pump();
            if self.h2.output_len() == 0 {
                break;
            }
            match self.io.poll_write(cx, self.h2.output().bytes()) {
                Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => {
                    self.h2.output().advance(n);
                    self.stalled = None;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.stalled.get_or_insert(now);
                    return Ok(());
                }
            }
        }
        match self.io.poll_flush(cx) {
            Poll::Ready(result) => {
                self.stalled = None;
                result?;
            }
            Poll::Pending => {
                self.stalled.get_or_insert(now);
                return Ok(());
            }
        }
        if matches!(self.phase, Phase::Lingering(..)) {
            let _ = self.io.poll_shutdown(cx)?; // a pending one is cut short by the linger time
        }
        Ok(())
    }

    /// Whether there is nothing more to do here: no stream is open and none will be.
    fn finish(&mut self, now: Time) -> bool {
        if self.h2.is_busy() {
            self.idle = None;
            return false;
        }
        self.idle.get_or_insert(now);
        if self.phase == Phase::Open && self.h2.is_leaving() && self.h2.output_len() == 0 {
            let why = if self.leaving.is_some() { Closed::Drain } else { Closed::Peer };
            self.linger(why, now);
            return true;
        }
        false
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("slot", &self.slot.get()).finish_non_exhaustive()
    }
}
