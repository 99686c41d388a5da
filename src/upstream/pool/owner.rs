//! What a connection tells its pool.

use std::cell::Cell;
use std::rc::{Rc, Weak};

use tokio::sync::Notify;

use super::Pool;
use crate::net::{Closed, Upstream};

/// What a connection tells the pool.
pub struct Owner {
    pool: Weak<Pool>,
    /// It may take more streams than before, or has ended, while it is new.
    pub news: Notify,
    is_new: Cell<bool>,
    ended: Cell<Option<Closed>>,
}

impl Owner {
    pub fn new(pool: &Rc<Pool>) -> Owner {
        Owner {
            pool: Rc::downgrade(pool),
            news: Notify::new(),
            is_new: Cell::new(true),
            ended: Cell::new(None),
        }
    }

    /// Nobody waits for it any more.
    pub fn established(&self) {
        self.is_new.set(false);
    }

    /// Whether it has ended as connections to a backend that is well may end.
    pub fn left_in_good_order(&self) -> bool {
        use Closed::{Cancelled, Drain, Idle, MaxAge, Peer};
        matches!(self.ended.get(), Some(Cancelled | Drain | Idle | MaxAge | Peer))
    }
}

impl Upstream for Owner {
    fn changed(&self) {
        if self.is_new.get() {
            self.news.notify_waiters();
        }
        if let Some(pool) = self.pool.upgrade() {
            pool.freed.notify_one();
        }
    }

    fn opened(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.observer.opened();
        }
    }

    fn closed(&self, why: Closed) {
        self.ended.set(Some(why));
        if let Some(pool) = self.pool.upgrade() {
            pool.observer.closed(why);
        }
    }
}
