//! Connection pool of one worker for one endpoint: connects on demand, adds connections when the
//! peer's stream limit is reached, and queues a bounded number of requests beyond that.

mod callbacks;
mod drain;
mod establish;
mod guards;
mod keeper;
mod reconnect;
mod select;
mod wait_queue;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::candidates::Candidates;
use super::connect::ConnectError;
use super::demand::Demand;
use super::dialer::Dialer;
use super::settings::{Settings, Version};
use crate::http::{self, Outgoing};
use crate::model::{ConnectionCount, Endpoint, Time};
use crate::net::{Closed, Conn, Keepalive, Stream, Worker};
use drain::DrainDeadline;
use guards::Waiting;
use keeper::Keeper;
pub use reconnect::UnreachableCount;
use select::{CONNECT_WAIT, Share};
use wait_queue::WaitQueue;

/// How long a request waits for a connection if the last attempt failed.
const CONNECT_WAIT_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Why a request got no stream. Nothing of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// There is no connection and none can be made.
    Connect,
    /// No stream is available, and the wait queue is full or timed out.
    Full,
    /// The list exceeds the peer's SETTINGS_MAX_HEADER_LIST_SIZE.
    TooLarge,
}

/// Connection pool of one worker for one endpoint.
pub struct Pool {
    this: Weak<Pool>,
    worker: Rc<Worker>,
    endpoint: Arc<Endpoint>,
    settings: Settings,
    /// As in the settings, or slower for an endpoint that has complained of too many PINGs.
    keepalive: Cell<Keepalive>,
    observer: Rc<dyn Observer>,
    dialer: Arc<Dialer>,
    candidates: RefCell<Candidates>,
    conns: RefCell<Vec<Rc<Conn>>>,
    /// Draining connections: they get no more requests, and close after the last one.
    draining: RefCell<Vec<Rc<Conn>>>,
    connecting: Cell<usize>,
    /// When `connecting` began.
    connecting_since: Cell<Time>,
    wait_queue: WaitQueue,
    unreachable_count: Rc<UnreachableCount>,
    failures: Cell<u32>,
    retry_at: Cell<Time>,
    /// A reconnect loop is running.
    reconnecting: Cell<bool>,
    /// Whether the service was requested recently.
    demand: Arc<Demand>,
    /// A request of this worker has waited for a connection.
    wanted: Cell<bool>,
    /// The endpoint is down, and excluded from the service's set.
    down: Cell<bool>,
    /// This pool, of all workers', is the one that reconnects to it.
    restores: Cell<bool>,
    /// Counts the endpoint as connecting, from a failed attempt to the next success.
    unreachable: RefCell<Option<ConnectionCount>>,
    /// Keeps a warm connection while present.
    keeper: RefCell<Option<Keeper>>,
    /// A connection was established or closed.
    news: Notify,
    /// Retired: only requests already waiting are served.
    retired: Cell<bool>,
    drain_deadline: RefCell<Option<DrainDeadline>>,
    /// The drain deadline has passed.
    cut_off: Cell<bool>,
}

/// Observer of the pool's connections.
pub trait Observer {
    /// A connection was opened.
    fn opened(&self);
    /// A connection was closed.
    fn closed(&self, why: Closed);
    /// Connecting to this backend succeeded.
    fn connected(&self, endpoint: &Endpoint, now: Time);
    /// The last connection of the process to this backend was lost.
    fn lost(&self, endpoint: &Endpoint, now: Time);
    /// Connecting to this backend failed.
    fn failed(&self, endpoint: &Endpoint, error: &ConnectError, now: Time);
    /// A suspicion that a backend is frozen has begun or ended.
    fn suspicion_changed(&self);
    /// This backend reports too many PINGs; from now on these settings apply.
    fn slowed(&self, endpoint: &Endpoint, keepalive: Keepalive);
}

impl Pool {
    /// A pool without connections.
    pub fn new(
        worker: &Rc<Worker>,
        endpoint: &Arc<Endpoint>,
        settings: &Settings,
        observer: Rc<dyn Observer>,
        dialer: &Arc<Dialer>,
        (unreachable_count, demand): (&Rc<UnreachableCount>, &Arc<Demand>),
    ) -> Rc<Pool> {
        Rc::new_cyclic(|this| Pool {
            this: Weak::clone(this),
            worker: Rc::clone(worker),
            endpoint: Arc::clone(endpoint),
            settings: settings.clone(),
            keepalive: Cell::new(settings.keepalive),
            observer,
            dialer: Arc::clone(dialer),
            candidates: RefCell::new(Candidates::new(worker.index())),
            conns: RefCell::default(),
            draining: RefCell::default(),
            connecting: Cell::new(0),
            connecting_since: Cell::new(Time::ZERO),
            wait_queue: WaitQueue::default(),
            unreachable_count: Rc::clone(unreachable_count),
            failures: Cell::new(0),
            retry_at: Cell::new(Time::ZERO),
            reconnecting: Cell::new(false),
            demand: Arc::clone(demand),
            wanted: Cell::new(false),
            down: Cell::new(false),
            restores: Cell::new(false),
            unreachable: RefCell::default(),
            keeper: RefCell::default(),
            news: Notify::new(),
            retired: Cell::new(false),
            drain_deadline: RefCell::default(),
            cut_off: Cell::new(false),
        })
    }

    /// The endpoint that it connects to.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Opens a stream for a request of `client`, if that is possible at once and without overtaking
    /// waiting requests. `client` is `None` for requests of the gateway itself.
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
        if self.wait_queue.before(share) > 0 { None } else { self.open_on_any(head, end, share) }
    }

    /// As [`Pool::try_open`], but waits for capacity, or for a connection.
    ///
    /// # Errors
    /// Nothing was sent in that case.
    pub async fn open<'a>(
        &self,
        head: impl Outgoing<'a>,
        end: bool,
        client: Option<&Conn>,
    ) -> Result<Rc<Stream>, OpenError> {
        if self.wait_queue.waiting() >= self.settings.max_pending {
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
        self.wanted.set(true);
        let failures = self.failures.get();
        let (patience, impatient) = match failures {
            0 => (self.settings.pending_timeout, OpenError::Full),
            _ => (CONNECT_WAIT_AFTER_FAILURE, OpenError::Connect),
        };
        let mut timeout = pin!(self.worker.sleep(patience));
        let mut turn = self.wait_queue.before(share) == 1; // FIFO: longer waiting requests come first
        loop {
            let freed = self.wait_queue.notified(share);
            if self.is_cut_off() {
                return Err(OpenError::Full);
            }
            if (turn || self.usable() == 0)
                && let Some(result) = self.open_on_any(head, end, share)
            {
                return result;
            }
            turn = true;
            if self.endpoint.outage().is_down() && self.usable() == 0 {
                return Err(OpenError::Connect); // no request is risked on it
            }
            self.connect_more(share);
            let failed = self.connecting.get() == 0 || self.failures.get() != failures;
            if failed && self.usable() == 0 {
                return Err(OpenError::Connect);
            }
            tokio::select! {
                biased;
                () = freed => {}
                () = &mut timeout => return Err(impatient),
                () = self.worker.sleep(CONNECT_WAIT) => {}
            }
        }
    }

    /// Opens a stream on the best connection with capacity. For HTTP/1.1 that is the most recently
    /// freed, so that surplus ones go idle and close.
    fn open_on_any<'a>(
        &self,
        head: impl Outgoing<'a>,
        end: bool,
        share: Share,
    ) -> Option<Result<Rc<Stream>, OpenError>> {
        let conn = match self.settings.version {
            Version::Http1 => self.first_free()?,
            Version::Http2 => self.select(share)?,
        };
        match conn.open(head, end) {
            Ok(stream) => Some(Ok(stream)),
            Err(http::OpenError::TooLarge) => Some(Err(OpenError::TooLarge)),
            Err(http::OpenError::Unavailable) => None,
        }
    }

    /// Connects if requests wait and the limit allows one more.
    fn connect_more(&self, share: Share) {
        let enough = match self.settings.version {
            Version::Http1 => self.connecting.get() >= self.wait_queue.waiting(),
            // One at a time: its streams may suffice for all waiting requests.
            Version::Http2 => self.connecting.get() > 0,
        };
        if enough || self.is_full(share) || self.worker.now() < self.retry_at.get() {
            return;
        }
        // There may be capacity, which the requests queued earlier are about to use.
        if self.has_capacity(share) {
            return;
        }
        self.connect_now();
    }

    fn connect_now(&self) {
        if let Some(pool) = self.this.upgrade() {
            self.begin_connecting();
            self.worker.spawn(pool.connect());
        }
    }

    /// Connections that accept, or will accept, new streams.
    fn usable(&self) -> usize {
        self.conns.borrow().iter().filter(|conn| !conn.is_leaving()).count()
    }

    /// Cancels a request sent on `stream`.
    pub fn cancel(&self, stream: &Stream) {
        stream.cancel();
    }

    /// Drains a connection: no more streams; it closes with its last one.
    pub(super) fn replace(&self, conn: &Rc<Conn>) {
        self.conns.borrow_mut().retain(|other| !Rc::ptr_eq(conn, other));
        self.part_with(Rc::clone(conn));
    }

    fn part_with(&self, conn: Rc<Conn>) {
        conn.retire(Closed::Drain);
        self.draining.borrow_mut().push(conn);
    }

    /// Retires the pool: waiting requests are still served, and each connection closes with its
    /// last stream.
    pub fn retire(&self) {
        self.retired.set(true);
        self.keep(false);
        self.close_unneeded();
    }

    /// Closes connections of a retired pool that are no longer needed.
    fn close_unneeded(&self) {
        if self.retired.get() && self.wait_queue.waiting() == 0 {
            self.conns.take().into_iter().for_each(|conn| self.part_with(conn));
        }
    }

    /// The HTTP version of the endpoint.
    pub fn version(&self) -> Version {
        self.settings.version
    }

    /// Whether connections to the endpoint are under TLS.
    pub fn is_secure(&self) -> bool {
        self.settings.tls.is_some()
    }
}
