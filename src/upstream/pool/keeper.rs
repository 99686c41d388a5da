//! Warm connections: established before the first request and re-established when lost, so that the
//! first request does not wait, and reachability is known.
//!
//! Over HTTP/1.1 the connection is closed at once: it has proved reachability, and most servers soon
//! close idle connections anyway.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Pool;
use crate::net::Closed;
use crate::upstream::settings::Version;

/// Jitter window of the first connections.
const JITTER: Duration = Duration::from_millis(300);

/// Delay after a connection that the backend closed gracefully.
const GRACEFUL_DELAY: Duration = Duration::from_secs(1);

/// Delay after one that failed.
const LOSS_DELAY: Duration = Duration::from_millis(100);

/// A connection that lasts this long resets the back-off.
const STABLE_AFTER: Duration = Duration::from_secs(30);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// Check interval for draining connections, which may stay open for long.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Keeps a warm connection until dropped.
pub type Keeper = oneshot::Sender<()>;

impl Pool {
    /// Starts keeping a warm connection, once there is a permit; or stops.
    pub fn keep(&self, keep: bool) {
        if !keep {
            if self.keeper.take().is_some() {
                self.conns.borrow().iter().for_each(|conn| conn.keep(false));
            }
            return;
        }
        let Some(pool) = self.this.upgrade() else { return };
        if self.retired.get() || self.keeper.borrow().is_some() {
            return;
        }
        let (keeper, dropped) = oneshot::channel();
        *self.keeper.borrow_mut() = Some(keeper);
        self.worker.spawn(async move {
            tokio::select! {
                biased;
                _ = dropped => {}
                () = pool.keep_connected() => {}
            }
        });
    }

    async fn keep_connected(self: &Rc<Self>) {
        let Some(_permit) = self.dialer.warm_permit().await else { return };
        self.worker.sleep(JITTER.mul_f64(self.random())).await;
        let mut permit = self.dialer.connect_permit().await;
        let mut short_lived = 0;
        loop {
            let made = self.until_connected(permit.take()).await;
            let since = self.worker.now();
            if made && self.settings.version == Version::Http1 {
                self.first_free().into_iter().for_each(|conn| conn.retire(Closed::Idle));
            }
            self.while_connected().await;
            short_lived =
                if self.worker.now().since(since) < STABLE_AFTER { short_lived + 1 } else { 0 };
            let in_good_order = self.endpoint.left().is_some_and(|at| at >= since);
            let backoff = match (self.settings.version, in_good_order) {
                (Version::Http1, _) => MAX_BACKOFF,
                (Version::Http2, true) => backoff(GRACEFUL_DELAY, short_lived),
                (Version::Http2, false) => backoff(LOSS_DELAY, short_lived),
            };
            self.worker.sleep(backoff.mul_f64(1.0 + 0.25 * self.random())).await;
        }
    }

    /// Waits for a connection, making one if nobody else does. Returns whether it did.
    async fn until_connected(self: &Rc<Self>, mut permit: Option<OwnedSemaphorePermit>) -> bool {
        let mut made = false;
        loop {
            let news = self.news.notified();
            if self.usable() > 0 {
                return made;
            }
            if self.connecting.get() == 0 && !self.reconnecting.get() {
                made = true;
                self.begin_connecting();
                let (pool, permit) = (Rc::clone(self), permit.take());
                self.worker.spawn(async move {
                    pool.connect().await;
                    drop(permit);
                });
            }
            news.await;
        }
    }

    /// Waits while there is a connection, exempting one from the idle timeout.
    async fn while_connected(&self) {
        loop {
            let news = self.news.notified();
            if self.usable() == 0 {
                return;
            }
            self.keep_one();
            tokio::select! {
                biased;
                () = news => {}
                () = self.worker.sleep(CHECK_INTERVAL) => {}
            }
        }
    }

    fn keep_one(&self) {
        let conns = self.conns.borrow();
        let mut usable = conns.iter().filter(|conn| !conn.is_leaving());
        if !usable.clone().any(|conn| conn.is_kept()) {
            usable.next().into_iter().for_each(|conn| conn.keep(true));
        }
    }

    fn random(&self) -> f64 {
        self.worker.rng().borrow_mut().f64()
    }
}

/// Back-off after `short_lived` short-lived connections in a row.
fn backoff(first: Duration, short_lived: u32) -> Duration {
    first.saturating_mul(1 << short_lived.saturating_sub(1).min(10)).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_while_connections_are_brief() {
        let seconds = |short_lived| backoff(GRACEFUL_DELAY, short_lived).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, 1_000_000].map(seconds), [1, 1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff(LOSS_DELAY, 1), LOSS_DELAY);
    }
}
