//! Lifecycle callbacks of a pooled connection.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::Pool;
use crate::model::{Endpoint, Time};
use crate::net::{Closed, Conn, Keepalive, SILENCE_TIMEOUT, Upstream};
use crate::upstream::settings::Version;

/// Number of calls over HTTP/1.1, which has no PING, that have to wait for a backend to count as frozen:
/// the one that is overdue, and others that have waited for `LONG_CALL`.
const FROZEN_CALLS: usize = 3;

/// As long as the answer to a PING may take over HTTP/2.
const LONG_CALL: Duration = Duration::from_millis(100);

/// Receives the callbacks of one connection for its pool.
pub struct ConnCallbacks {
    pool: Weak<Pool>,
    endpoint: Arc<Endpoint>,
    /// The index of the worker.
    worker: usize,
    /// While new: its capacity has changed or it has ended.
    pub news: Notify,
    is_new: Cell<bool>,
    ended: Cell<Option<Closed>>,
    lost: Cell<bool>,
}

impl ConnCallbacks {
    pub fn new(pool: &Rc<Pool>) -> ConnCallbacks {
        ConnCallbacks {
            pool: Rc::downgrade(pool),
            endpoint: Arc::clone(&pool.endpoint),
            worker: pool.worker.index(),
            news: Notify::new(),
            is_new: Cell::new(true),
            ended: Cell::new(None),
            lost: Cell::new(false),
        }
    }

    /// Records that it is established: nobody waits for it any more.
    pub fn established(&self) {
        self.is_new.set(false);
    }

    /// Whether it was closed gracefully, as by a healthy backend.
    pub fn left_in_good_order(&self) -> bool {
        use Closed::{Cancelled, Drain, Idle, MaxAge, Peer};
        matches!(self.ended.get(), Some(Cancelled | Drain | Idle | MaxAge | Peer))
            && !self.is_lost()
    }

    /// Whether the backend, or the network, has failed.
    pub fn is_lost(&self) -> bool {
        self.lost.get()
    }
}

impl Upstream for ConnCallbacks {
    fn keepalive(&self) -> Keepalive {
        self.pool.upgrade().map_or(Keepalive::defaults(), |pool| pool.keepalive.get())
    }

    fn too_many_pings(&self) {
        if let Some(pool) = self.pool.upgrade() {
            let slowed = pool.keepalive.get().slowed();
            pool.keepalive.set(slowed);
            pool.observer.slowed(&pool.endpoint, slowed);
        }
    }

    fn note_received(&self, now: Time) {
        if self.endpoint.note_received(self.worker, now)
            && let Some(pool) = self.pool.upgrade()
        {
            pool.observer.suspicion_changed();
        }
    }

    fn last_received(&self) -> Time {
        self.endpoint.last_received()
    }

    fn frozen(&self, now: Time) {
        let Some(pool) = self.pool.upgrade() else { return };
        let enough = match pool.settings.version {
            Version::Http1 => {
                let waits = |conn: &&Rc<Conn>| conn.is_frozen() || conn.is_owed_for(LONG_CALL);
                pool.conns.borrow().iter().filter(waits).count() >= FROZEN_CALLS
            }
            Version::Http2 => true,
        };
        if enough
            && self.endpoint.last_received() + SILENCE_TIMEOUT <= now
            && self.endpoint.suspect(now)
        {
            pool.observer.suspicion_changed();
        }
    }

    fn changed(&self) {
        if self.is_new.get() {
            self.news.notify_waiters();
        }
        if let Some(pool) = self.pool.upgrade() {
            pool.wait_queue.notify_one();
        }
    }

    fn opened(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.observer.opened();
        }
    }

    fn closed(&self, why: Closed, lost: bool) {
        self.ended.set(Some(why));
        self.lost.set(lost);
        if let Some(pool) = self.pool.upgrade() {
            pool.observer.closed(why);
        }
    }
}
