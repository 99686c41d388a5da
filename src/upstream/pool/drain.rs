//! The end of draining: requests of an endpoint that was taken out finish, or are cut off when their
//! time is up.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Pool;
use crate::model::Time;
use crate::net::Closed;

/// When what is left is cut off. The timer ends with it.
pub struct DrainLimit {
    at: Time,
    _timer: oneshot::Sender<()>,
}

impl Pool {
    /// Requests may go on for so long, or until an earlier limit; without any for ever.
    pub fn drain_within(&self, patience: Option<Duration>) {
        let before = self.drain_limit.borrow().as_ref().map(|limit| limit.at);
        let limit = patience.map(|patience| self.worker.now() + patience);
        self.drain_by(before.into_iter().chain(limit).min());
    }

    /// Requests may go on until then, or for ever. What was said before does not hold any more.
    pub fn drain_by(&self, limit: Option<Time>) {
        if self.drain_limit.borrow().as_ref().map(|limit| limit.at) == limit {
            return;
        }
        self.cut_off.set(false);
        *self.drain_limit.borrow_mut() = limit.map(|at| self.limit_drain(at));
    }

    fn limit_drain(&self, at: Time) -> DrainLimit {
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
        DrainLimit { at, _timer: timer }
    }

    /// Ends what is left: what is on connections with these, what waits for one elsewhere.
    fn cut_off(&self) {
        self.cut_off.set(true);
        let conns = [&self.conns, &self.parting].map(|conns| conns.borrow().clone());
        conns.iter().flatten().for_each(|conn| conn.close(Closed::Drain));
        self.wait_queue.notify_waiters();
    }

    /// Whether what was left when the time was up has been cut off.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.get()
    }
}
