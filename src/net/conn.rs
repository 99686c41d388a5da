//! One connection and its driver.

mod codec;
mod core;
mod driver;
mod flush;
mod owner;
mod pace;
mod timeouts;
mod write;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

pub use self::codec::Codec;
pub(super) use self::core::{Core, Phase};
pub use self::owner::{Front, Owner, Upstream};
use self::pace::Pace;
use super::cancel::Cancels;
use super::io::Io;
use super::listener::Listener;
use super::origin::Origin;
use super::stream::{Over, Stream};
use super::worker::Worker;
use crate::http::{Fault, Key, OpenError, Outgoing};
use crate::model::Peer;
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
    /// Nothing that was on it is wanted any more, and its end says so.
    Cancelled,
    /// The gateway is going down.
    Drain,
}

/// What the output of a connection has got in this turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dirty {
    No,
    /// Pieces of bodies that go on.
    Body,
    Other,
}

/// One connection of a worker.
pub struct Conn {
    pub(super) worker: Rc<Worker>,
    pub(super) core: RefCell<Core>,
    peer: Peer,
    stream_idle_timeout: Option<Duration>,
    owner: Owner,
    dirty: Cell<Dirty>,
    pace: Cell<Pace>,
    waker: RefCell<Option<Waker>>,
    slot: Cell<usize>,
    /// It stays however long it is idle.
    kept: Cell<bool>,
    /// Bytes of bodies that wait for a reader, or are kept for another one.
    bodies: Cell<usize>,
    pub(super) cancels: Cancels,
    /// What it came by, if a client made it.
    pub(super) listener: OnceCell<(Arc<Listener>, Origin)>,
}

impl Conn {
    /// A connection to `peer` on `io`, which [`Conn::drive`] brings to life.
    pub fn new(worker: &Rc<Worker>, codec: Codec, io: Io, peer: Peer, owner: Owner) -> Rc<Conn> {
        let now = worker.now();
        let expires = timeouts::expiry(worker, codec.limits(), now);
        let stream_idle_timeout = codec.limits().stream_idle_timeout;
        let conn = Rc::new(Conn {
            worker: Rc::clone(worker),
            core: RefCell::new(Core::new(codec, io, now, expires)),
            peer,
            stream_idle_timeout: (!stream_idle_timeout.is_zero()).then_some(stream_idle_timeout),
            owner,
            dirty: Cell::new(Dirty::No),
            pace: Cell::default(),
            waker: RefCell::new(None),
            slot: Cell::new(usize::MAX),
            kept: Cell::new(false),
            bodies: Cell::new(0),
            cancels: Cancels::new(),
            listener: OnceCell::new(),
        });
        conn.slot.set(worker.register(&Rc::downgrade(&conn)));
        conn
    }

    /// Reads until the connection ends.
    pub async fn drive(self: Rc<Self>) {
        self.owner.opened();
        self.flush_later();
        let guard = OnPanic(|| self.end(Closed::Io));
        let why = std::future::poll_fn(|cx| self.poll(cx)).await;
        drop(guard);
        self.end(why);
    }

    /// Lets go of the peer, and of everybody who waits for it.
    fn end(self: &Rc<Self>, why: Closed) {
        self.core.borrow().break_off();
        self.worker.deregister(self.slot.get());
        self.fail_streams(Over::Lost);
        self.account();
        self.owner.closed(why);
        self.owner.changed();
    }

    /// Says which listener it came by, and how: when that is closed, the client is asked to go.
    pub(super) fn came_by(&self, listener: Arc<Listener>, origin: Origin) {
        let _ = self.listener.set((listener, origin)); // it came by one alone
    }

    /// Where a client's connection comes from.
    pub fn origin(&self) -> Option<&Origin> {
        self.listener.get().map(|(_, origin)| origin)
    }

    /// The worker that it lives on.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// The other end of the connection itself, whatever headers say.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether the connection is under TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.core.borrow().io, Io::Tls(_))
    }

    /// How long a stream may go without anything of its messages; `None` is for ever.
    pub fn stream_idle_timeout(&self) -> Option<Duration> {
        self.stream_idle_timeout
    }

    /// How many more streams the peer takes now.
    pub fn available(&self) -> usize {
        let core = self.core.borrow();
        if core.phase == Phase::Open { core.codec.available() } else { 0 }
    }

    /// Whether it is known how many streams the peer takes.
    pub fn is_ready(&self) -> bool {
        self.core.borrow().codec.is_ready()
    }

    /// Whether it carries one exchange at a time.
    pub fn is_http1(&self) -> bool {
        self.core.borrow().codec.http1().is_some()
    }

    /// Whether no stream will be opened here again.
    pub fn is_leaving(&self) -> bool {
        let core = self.core.borrow();
        core.phase != Phase::Open || core.codec.is_leaving()
    }

    /// Has it stay however long it is idle, or no longer.
    pub fn keep(self: &Rc<Self>, keep: bool) {
        if self.kept.replace(keep) && !keep {
            self.core.borrow_mut().alarm.stale = true;
            self.flush_later(); // which has its deadlines looked at
        }
    }

    /// Whether it stays however long it is idle.
    pub fn is_kept(&self) -> bool {
        self.kept.get()
    }

    /// Opens a stream to a backend.
    ///
    /// # Errors
    /// As [`crate::http2::Connection::open`].
    pub fn open<'a>(
        self: &Rc<Self>,
        head: impl Outgoing<'a>,
        end: bool,
    ) -> Result<Rc<Stream>, OpenError> {
        let mut core = self.core.borrow_mut();
        core.codec.set_narrow(self.worker.unread.is_much(self.worker.now()));
        let key = core.codec.open(head, end, self.worker.now())?;
        let stream = core.begin(self, key);
        drop(core);
        self.flush_later();
        Ok(stream)
    }

    /// Has a backend send little ahead of clients.
    pub(super) fn narrow(self: &Rc<Self>) {
        let mut core = self.core.borrow_mut();
        core.codec.set_narrow(true);
        let told = core.codec.output_len() > 0;
        drop(core);
        if told {
            self.flush_later();
        }
    }

    /// Ends the connection, for this reason, as soon as its streams have ended.
    pub fn retire(self: &Rc<Self>, why: Closed) {
        let mut core = self.core.borrow_mut();
        core.codec.leave();
        core.leaving.get_or_insert((self.worker.now(), why));
        core.alarm.stale = true;
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
        if self.dirty.replace(Dirty::Other) == Dirty::No {
            self.worker.flush_later(self);
        }
    }

    /// As [`Conn::flush_later`], for a piece of a body that is not its last.
    pub(super) fn flush_body_later(self: &Rc<Self>) {
        if self.dirty.get() == Dirty::No {
            self.dirty.set(Dirty::Body);
            self.worker.flush_later(self);
        }
    }

    /// How much of a flow the output is, if it is nothing else.
    pub(super) fn flow(&self) -> Option<usize> {
        let body = self.dirty.get() == Dirty::Body;
        body.then(|| self.core.borrow().flow(self.worker.now())).flatten()
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Has everybody who waits for a stream look at it.
    pub(super) fn wake_streams(&self) {
        let streams: Vec<_> = self.core.borrow().streams.iter().flatten().map(Rc::clone).collect();
        streams.iter().for_each(|stream| stream.wake());
    }

    /// Tells the owner that streams have come free.
    pub(super) fn changed(&self) {
        self.owner.changed();
    }

    /// Forgets a stream: nobody waits for its events any more.
    pub(super) fn forget(&self, key: Key) {
        self.core.borrow_mut().forget(key);
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("slot", &self.slot.get()).finish_non_exhaustive()
    }
}
