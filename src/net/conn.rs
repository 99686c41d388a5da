//! One connection and its driver.

mod codec;
mod driver;
mod flush;
mod keepalive;
mod owner;
mod read_turn;
mod state;
mod timeouts;
mod write;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

pub use self::codec::Codec;
pub use self::owner::{Front, Owner, Upstream};
use self::read_turn::ReadTurn;
pub(super) use self::state::{ConnState, Phase};
use super::cancel::Cancels;
use super::io::Io;
use super::listener::Listener;
use super::origin::Origin;
use super::stream::{Over, Stream};
use super::worker::Worker;
use crate::http::{Connection, Fault, Key, OpenError, Outgoing};
use crate::model::{Peer, Time};
use crate::tasks::OnPanic;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer closed it.
    Peer,
    /// Reading or writing failed.
    Io,
    /// The TLS handshake failed or took too long.
    Handshake,
    /// The peer violated the protocol or exceeded a limit.
    Fault(Fault),
    /// No preface, SETTINGS or acknowledgement in time.
    PrefaceTimeout,
    /// A frame or header block stayed unfinished.
    FrameTimeout,
    /// The peer read nothing of our pending output for too long.
    WriteStall,
    /// A PING to a silent peer was not answered in time.
    Keepalive,
    /// Idle timeout: no stream for too long.
    Idle,
    /// It reached its maximum age.
    MaxAge,
    /// All its streams were cancelled, and closing it tells the peer so.
    Cancelled,
    /// The gateway is shutting down.
    Drain,
}

/// What was appended to a connection's output in this turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OutputKind {
    No,
    /// DATA without END_STREAM only.
    Body,
    Other,
}

/// One connection of a worker.
pub struct Conn {
    pub(super) worker: Rc<Worker>,
    pub(super) core: RefCell<ConnState>,
    peer: Peer,
    stream_idle_timeout: Option<Duration>,
    owner: Owner,
    dirty: Cell<OutputKind>,
    read_turn: Cell<ReadTurn>,
    waker: RefCell<Option<Waker>>,
    slot: Cell<usize>,
    /// Exempt from the idle timeout.
    kept: Cell<bool>,
    /// Nothing was received for some time, though an answer is owed.
    is_silent: Cell<bool>,
    /// When the backend was last found frozen.
    frozen: Cell<Option<Time>>,
    /// Bytes of bodies buffered for a reader or a replay.
    bodies: Cell<usize>,
    pub(super) cancels: Cancels,
    /// The accepting listener, if it is a client's connection.
    pub(super) listener: OnceCell<(Arc<Listener>, Origin)>,
}

impl Conn {
    /// A connection to `peer` over `io`; [`Conn::drive`] runs it.
    pub fn new(worker: &Rc<Worker>, codec: Codec, io: Io, peer: Peer, owner: Owner) -> Rc<Conn> {
        let now = worker.now();
        let expires = timeouts::expiry(worker, codec.limits(), now);
        let stream_idle_timeout = codec.limits().stream_idle_timeout;
        let conn = Rc::new(Conn {
            worker: Rc::clone(worker),
            core: RefCell::new(ConnState::new(codec, io, now, expires, owner.keepalive())),
            peer,
            stream_idle_timeout: (!stream_idle_timeout.is_zero()).then_some(stream_idle_timeout),
            owner,
            dirty: Cell::new(OutputKind::No),
            read_turn: Cell::default(),
            waker: RefCell::new(None),
            slot: Cell::new(usize::MAX),
            kept: Cell::new(false),
            is_silent: Cell::new(false),
            frozen: Cell::new(None),
            bodies: Cell::new(0),
            cancels: Cancels::new(),
            listener: OnceCell::new(),
        });
        conn.slot.set(worker.register(&Rc::downgrade(&conn)));
        conn
    }

    /// The driver: reads and dispatches until the connection ends.
    pub async fn drive(self: Rc<Self>) {
        self.owner.opened();
        self.flush_later();
        let guard = OnPanic(|| self.end(Closed::Io));
        let why = std::future::poll_fn(|cx| self.poll(cx)).await;
        drop(guard);
        self.end(why);
    }

    /// Deregisters the connection and fails every stream that is still open.
    fn end(self: &Rc<Self>, why: Closed) {
        let lost = self.core.borrow().is_lost(why);
        self.core.borrow().arm_reset_if_incomplete();
        self.worker.deregister(self.slot.get());
        self.fail_streams(Over::Lost);
        self.account();
        self.owner.closed(why, lost);
        self.owner.changed();
    }

    /// Attaches the accepting listener; closing that drains this connection. Set once.
    pub(super) fn attach_listener(&self, listener: Arc<Listener>, origin: Origin) {
        let _ = self.listener.set((listener, origin)); // set once
    }

    /// Origin of a client's connection: its address and scheme.
    pub fn origin(&self) -> Option<&Origin> {
        self.listener.get().map(|(_, origin)| origin)
    }

    /// The worker that owns it.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// The address of the socket's peer, whatever headers say.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether the connection is under TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.core.borrow().io, Io::Tls(_))
    }

    /// Idle timeout of a stream; `None` is unlimited.
    pub fn stream_idle_timeout(&self) -> Option<Duration> {
        self.stream_idle_timeout
    }

    /// Streams that may be opened now.
    pub fn available(&self) -> usize {
        let core = self.core.borrow();
        if core.phase == Phase::Open { core.codec.available() } else { 0 }
    }

    /// Whether the peer's SETTINGS were received, so that its stream limit is known.
    pub fn is_ready(&self) -> bool {
        self.core.borrow().codec.is_ready()
    }

    /// Whether it carries one exchange at a time.
    pub fn is_http1(&self) -> bool {
        self.core.borrow().codec.http1().is_some()
    }

    /// When it was opened.
    pub fn opened(&self) -> Time {
        self.core.borrow().opened
    }

    /// Whether it is draining: no stream will be opened here again.
    pub fn is_leaving(&self) -> bool {
        let core = self.core.borrow();
        core.phase != Phase::Open || core.codec.is_leaving()
    }

    /// Sets whether it is exempt from the idle timeout.
    pub fn keep(self: &Rc<Self>, keep: bool) {
        if self.kept.replace(keep) && !keep {
            self.core.borrow_mut().alarm.stale = true;
            self.flush_later(); // which recomputes its deadlines
        }
    }

    /// Whether it is exempt from the idle timeout.
    pub fn is_kept(&self) -> bool {
        self.kept.get()
    }

    /// Opens a stream to a backend.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open<'a>(
        self: &Rc<Self>,
        head: impl Outgoing<'a>,
        end: bool,
    ) -> Result<Rc<Stream>, OpenError> {
        let mut core = self.core.borrow_mut();
        core.codec.set_narrow(self.worker.unread.is_high(self.worker.now()));
        let key = core.codec.open(head, end, self.worker.now().as_millis())?;
        if self.is_silent() {
            core.note_asked(self.worker.now());
        }
        let stream = core.begin(self, key);
        drop(core);
        self.flush_later();
        Ok(stream)
    }

    /// Shrinks the receive windows, so that the backend does not send far ahead of slow clients.
    pub(super) fn narrow(self: &Rc<Self>) {
        let mut core = self.core.borrow_mut();
        core.codec.set_narrow(true);
        let told = core.codec.output_len() > 0;
        drop(core);
        if told {
            self.flush_later();
        }
    }

    /// Drains the connection: closes it, for this reason, as soon as its streams have ended.
    pub fn retire(self: &Rc<Self>, why: Closed) {
        let mut core = self.core.borrow_mut();
        core.codec.leave();
        core.leaving.get_or_insert((self.worker.now(), why));
        core.alarm.stale = true;
        drop(core);
        self.flush_later();
        self.wake();
    }

    /// Closes the connection now, aborting its streams.
    pub fn close(self: &Rc<Self>, why: Closed) {
        let mut core = self.core.borrow_mut();
        if !matches!(core.phase, Phase::Closed(_)) {
            core.phase = Phase::Closed(why);
        }
        drop(core);
        self.wake();
    }

    /// Schedules a flush at the end of this turn.
    pub(super) fn flush_later(self: &Rc<Self>) {
        if self.dirty.replace(OutputKind::Other) == OutputKind::No {
            self.worker.flush_later(self);
        }
    }

    /// As [`Conn::flush_later`], for DATA without END_STREAM.
    pub(super) fn flush_body_later(self: &Rc<Self>) {
        if self.dirty.get() == OutputKind::No {
            self.dirty.set(OutputKind::Body);
            self.worker.flush_later(self);
        }
    }

    /// Pending output in bytes if it is bulk data only; see
    /// [`write_coalescing`](super::write_coalescing).
    pub(super) fn bulk_output(&self) -> Option<usize> {
        let body = self.dirty.get() == OutputKind::Body;
        body.then(|| self.core.borrow().bulk_output(self.worker.now())).flatten()
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Wakes every task that waits for a stream of this connection.
    pub(super) fn wake_streams(&self) {
        let streams: Vec<_> = self.core.borrow().streams.iter().flatten().map(Rc::clone).collect();
        streams.iter().for_each(|stream| stream.wake());
    }

    /// Notifies the owner that stream capacity has changed.
    pub(super) fn changed(&self) {
        self.owner.changed();
    }

    /// Removes a stream from the table; its events are dropped from now on.
    pub(super) fn forget(&self, key: Key) {
        self.core.borrow_mut().forget(key);
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("slot", &self.slot.get()).finish_non_exhaustive()
    }
}
