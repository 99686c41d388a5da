//! The connections of one worker to one endpoint: opened on demand, more of them when the peer's
//! limit on streams is reached, and a bounded wait when there may be no more.

mod establish;
mod freed;
mod guards;
mod keeper;
mod owner;
mod reconnect;
mod room;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::candidates::Candidates;
use super::connect::ConnectError;
use super::dialer::Dialer;
use super::settings::{Settings, Version};
use crate::http::{self, Outgoing};
use crate::model::{ConnectionCount, Endpoint, Time};
use crate::net::{Closed, Conn, Stream, Worker};
use freed::Freed;
use guards::Waiting;
use keeper::Keeper;
pub use reconnect::Outages;
use room::{PATIENCE, Share};

/// A request waits so long at most for an endpoint that could not be connected to the last time.
const PATIENCE_WITH_OUTAGE: Duration = Duration::from_millis(100);

/// Why a request got no stream. Nothing of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// There is no connection and none can be made.
    Connect,
    /// All streams are taken and too many requests wait, or waited too long.
    Full,
    /// The backend has declared that it takes no header list of this size.
    TooLarge,
}

/// The connections of one worker to one endpoint.
pub struct Pool {
    this: Weak<Pool>,
    worker: Rc<Worker>,
    endpoint: Arc<Endpoint>,
    settings: Settings,
    observer: Rc<dyn Observer>,
    dialer: Arc<Dialer>,
    candidates: RefCell<Candidates>,
    conns: RefCell<Vec<Rc<Conn>>>,
    connecting: Cell<usize>,
    /// Since when.
    connecting_since: Cell<Time>,
    freed: Freed,
    outages: Rc<Outages>,
    failures: Cell<u32>,
    retry_at: Cell<Time>,
    /// Connecting is tried again by itself.
    trying: Cell<bool>,
    /// When a request last had to wait for a connection.
    asked_at: Cell<Time>,
    /// Counts as connecting from a failed attempt to the next that succeeds.
    unreachable: RefCell<Option<ConnectionCount>>,
    /// Wakes whoever tries it seldom, as nobody asks.
    asked: Rc<Notify>,
    tries_seldom: Cell<bool>,
    /// Keeps a connection, as long as this is there.
    keeper: RefCell<Option<Keeper>>,
    /// A connection has come or gone.
    news: Notify,
    /// No requests are to come but those that wait.
    retired: Cell<bool>,
}

/// Who is told of connections that come and go.
pub trait Observer {
    /// A connection to a backend has begun.
    fn opened(&self);
    /// A connection to a backend has ended.
    fn closed(&self, why: Closed);
    /// A connection to this backend is there.
    fn connected(&self, endpoint: &Endpoint);
    /// A connection to this backend could not be made.
    fn failed(&self, endpoint: &Endpoint, error: &ConnectError, now: Time);
}

impl Pool {
    /// A pool without connections.
    pub fn new(
        worker: &Rc<Worker>,
        endpoint: &Arc<Endpoint>,
        settings: &Settings,
        observer: Rc<dyn Observer>,
        dialer: &Arc<Dialer>,
        outages: &Rc<Outages>,
    ) -> Rc<Pool> {
        Rc::new_cyclic(|this| Pool {
            this: Weak::clone(this),
            worker: Rc::clone(worker),
            endpoint: Arc::clone(endpoint),
            settings: settings.clone(),
            observer,
            dialer: Arc::clone(dialer),
            candidates: RefCell::new(Candidates::new(worker.index())),
            conns: RefCell::default(),
            connecting: Cell::new(0),
            connecting_since: Cell::new(Time::ZERO),
            freed: Freed::default(),
            outages: Rc::clone(outages),
            failures: Cell::new(0),
            retry_at: Cell::new(Time::ZERO),
            trying: Cell::new(false),
            asked_at: Cell::new(Time::ZERO),
            unreachable: RefCell::default(),
            asked: Rc::default(),
            tries_seldom: Cell::new(false),
            keeper: RefCell::default(),
            news: Notify::new(),
            retired: Cell::new(false),
        })
    }

    /// The endpoint that it connects to.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Opens a stream with the head of a request of `client`, if one may be opened at once and
    /// nobody waits who would be overtaken. What no client waits for has none.
    ///
    /// # Errors
    /// Nothing was sent in that case.
    pub fn try_open<'a>(
        &self,
        head: impl Outgoing<'a>,
        end: bool,
        client: Option<&Conn>,
    ) -> Option<Result<Rc<Stream>, OpenError>> {
        let share = Share::of(client);
        if self.freed.before(share) > 0 { None } else { self.open_on_any(head, end, share) }
    }

    /// As [`Pool::try_open`], but waits for room, and for a connection to be made.
    ///
    /// # Errors
    /// Nothing was sent in that case.
    pub async fn open<'a>(
        &self,
        head: impl Outgoing<'a>,
        end: bool,
        client: Option<&Conn>,
    ) -> Result<Rc<Stream>, OpenError> {
        if self.freed.waiting() >= self.settings.max_pending {
            return Err(OpenError::Full);
        }
        let share = Share::of(client);
        let _waiting = Waiting::new(self, share);
        self.wait_for_room(head, end, share).await
    }

    async fn wait_for_room<'a>(
        &self,
        head: impl Outgoing<'a>,
        end: bool,
        share: Share,
    ) -> Result<Rc<Stream>, OpenError> {
        self.note_asked();
        let failures = self.failures.get();
        let (patience, impatient) = match failures {
            0 => (self.settings.pending_timeout, OpenError::Full),
            _ => (PATIENCE_WITH_OUTAGE, OpenError::Connect),
        };
        let mut timeout = pin!(self.worker.sleep(patience));
        let mut turn = self.freed.before(share) == 1; // those who wait longer come first
        loop {
            let freed = self.freed.told(share);
            if (turn || self.usable() == 0)
                && let Some(result) = self.open_on_any(head, end, share)
            {
                return result;
            }
            turn = true;
            self.connect_more(share);
            let failed = self.connecting.get() == 0 || self.failures.get() != failures;
            if failed && self.usable() == 0 {
                return Err(OpenError::Connect);
            }
            tokio::select! {
                biased;
                () = freed => {}
                () = &mut timeout => return Err(impatient),
                () = self.worker.sleep(PATIENCE) => {}
            }
        }
    }

    /// Opens a stream on the connection that suits best, if there is room. Of HTTP/1.1 it is
    /// the latest that is free: those that are too many get idle and end.
    fn open_on_any<'a>(
        &self,
        head: impl Outgoing<'a>,
        end: bool,
        share: Share,
    ) -> Option<Result<Rc<Stream>, OpenError>> {
        let conn = match self.settings.version {
            Version::Http1 => self.first_free()?,
            Version::Http2 => self.with_room(share)?,
        };
        match conn.open(head, end) {
            Ok(stream) => Some(Ok(stream)),
            Err(http::OpenError::TooLarge) => Some(Err(OpenError::TooLarge)),
            Err(http::OpenError::Unavailable) => None,
        }
    }

    /// Starts a connection if requests wait for one and there may be one more.
    fn connect_more(&self, share: Share) {
        let enough = match self.settings.version {
            Version::Http1 => self.connecting.get() >= self.freed.waiting(),
            // One at a time: its streams may be room enough for all that wait.
            Version::Http2 => self.connecting.get() > 0,
        };
        if enough || self.is_full(share) || self.worker.now() < self.retry_at.get() {
            return;
        }
        // Who came last may find room that those before are about to take, or leave.
        if self.has_room(share) {
            return;
        }
        if let Some(pool) = self.this.upgrade() {
            self.begin_connecting();
            self.worker.spawn(pool.connect());
        }
    }

    /// Connections that take, or will again take, new streams.
    fn usable(&self) -> usize {
        self.conns.borrow().iter().filter(|conn| !conn.is_leaving()).count()
    }

    /// Gives up a request that was sent on `stream`.
    pub fn cancel(&self, stream: &Stream) {
        stream.cancel();
    }

    /// Opens no more streams on a connection; it ends with its last stream.
    fn replace(&self, conn: &Rc<Conn>) {
        self.conns.borrow_mut().retain(|other| !Rc::ptr_eq(conn, other));
        conn.retire(Closed::Drain);
    }

    /// Takes no more requests. Those that wait are still served, and each connection ends with
    /// its last stream.
    pub fn retire(&self) {
        self.retired.set(true);
        self.keep(false);
        self.settle();
    }

    /// Ends the connections that nobody will ask for any more.
    fn settle(&self) {
        if self.retired.get() && self.freed.waiting() == 0 {
            for conn in self.conns.take() {
                conn.retire(Closed::Drain);
            }
        }
    }

    /// What the endpoint speaks.
    pub fn version(&self) -> Version {
        self.settings.version
    }

    /// Whether connections to the endpoint are under TLS.
    pub fn is_secure(&self) -> bool {
        self.settings.tls.is_some()
    }
}
