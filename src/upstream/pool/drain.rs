//! Drain deadline: requests of a drained or removed endpoint finish, or are cut off when it passes.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Pool;
use crate::model::Time;
use crate::net::{Closed, Conn};

/// A connection younger than this that refuses requests is not replaced: others would be no better.
const YOUNG: Duration = Duration::from_secs(1);

/// A drain deadline and its timer; dropping it cancels the timer.
pub struct DrainDeadline {
    at: Time,
    _timer: oneshot::Sender<()>,
}

impl Pool {
    /// Prepares for a request that was refused on `conn` to be sent on another connection. Returns
    /// false if that is so young that one more would be no better.
    pub fn renew(&self, conn: &Rc<Conn>, now: Time) -> bool {
        let renewed = conn.is_leaving() || now.since(conn.opened()) > YOUNG;
        if renewed && !conn.is_leaving() {
            self.replace(conn);
        }
        renewed
    }

    /// Requests may go on for so long, or until an earlier limit; without any for ever.
    pub fn drain_within(&self, patience: Option<Duration>) {
        let before = self.drain_deadline.borrow().as_ref().map(|deadline| deadline.at);
        let deadline = patience.map(|patience| self.worker.now() + patience);
        self.drain_by(before.into_iter().chain(deadline).min());
    }

    /// Replaces the deadline; `None` removes it.
    pub fn drain_by(&self, deadline: Option<Time>) {
        if self.drain_deadline.borrow().as_ref().map(|deadline| deadline.at) == deadline {
            return;
        }
        self.cut_off.set(false);
        *self.drain_deadline.borrow_mut() = deadline.map(|at| self.start_drain_timer(at));
    }

    fn start_drain_timer(&self, at: Time) -> DrainDeadline {
        let (timer, dropped) = oneshot::channel();
        let (pool, sleep) = (self.this.clone(), self.worker.sleep(at.since(self.worker.now())));
        self.worker.spawn(async move {
            tokio::select! {
                biased;
                _ = dropped => return,
                () = sleep => {}
            }
            if let Some(pool) = pool.upgrade() {
                pool.cut_off();
            }
        });
        DrainDeadline { at, _timer: timer }
    }

    /// Aborts the remaining requests: closes the connections, and fails the waiting requests.
    fn cut_off(&self) {
        self.cut_off.set(true);
        let conns = [&self.conns, &self.draining].map(|conns| conns.borrow().clone());
        conns.iter().flatten().for_each(|conn| conn.close(Closed::Drain));
        self.wait_queue.notify_waiters();
    }

    /// Whether the deadline has passed, and the remaining requests were cut off.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.get()
    }
}
