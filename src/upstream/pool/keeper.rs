//! A connection that is there before a request asks for it, and is made again when it is gone: the
//! first request does not wait, and whether the endpoint can be reached is known.
//!
//! One over HTTP/1.1 is ended as soon as it is made: it shows that the endpoint can be reached, and
//! most servers soon close it anyway.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Pool;
use crate::net::Closed;
use crate::upstream::settings::Version;

/// The first connections are made within this time, each at a time of its own.
const SPREAD: Duration = Duration::from_millis(300);

/// The pause after a connection that the backend has ended in good order.
const AFTER_END: Duration = Duration::from_secs(1);

/// The pause after one that broke off.
const AFTER_BREAK: Duration = Duration::from_millis(100);

/// Pauses double after connections that have not lasted so long, up to the longest one.
const LASTING: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(10);

/// A connection that takes no more requests is noticed within this time, as it may go on for long.
const CHECK: Duration = Duration::from_secs(5);

/// Has a connection kept until this is dropped.
pub type Keeper = oneshot::Sender<()>;

impl Pool {
    /// Keeps a connection from now on, as soon as there is a place for one more; or no longer.
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
        let Some(_place) = self.dialer.place().await else { return };
        self.worker.sleep(SPREAD.mul_f64(self.chance())).await;
        let mut turn = self.dialer.turn().await;
        let mut brief = 0;
        loop {
            let made = self.until_connected(turn.take()).await;
            let since = self.worker.now();
            if made && self.settings.version == Version::Http1 {
                self.first_free().into_iter().for_each(|conn| conn.retire(Closed::Idle));
            }
            self.while_connected().await;
            brief = if self.worker.now().since(since) < LASTING { brief + 1 } else { 0 };
            let in_good_order = self.endpoint.left().is_some_and(|at| at >= since);
            let pause = match (self.settings.version, in_good_order) {
                (Version::Http1, _) => LONGEST,
                (Version::Http2, true) => pause(AFTER_END, brief),
                (Version::Http2, false) => pause(AFTER_BREAK, brief),
            };
            self.worker.sleep(pause.mul_f64(1.0 + 0.25 * self.chance())).await;
        }
    }

    /// Waits until there is a connection, and makes one if nobody does. Whether it did.
    async fn until_connected(self: &Rc<Self>, mut turn: Option<OwnedSemaphorePermit>) -> bool {
        let mut made = false;
        loop {
            let news = self.news.notified();
            if self.usable() > 0 {
                return made;
            }
            if self.connecting.get() == 0 && !self.trying.get() {
                made = true;
                self.begin_connecting();
                let (pool, turn) = (Rc::clone(self), turn.take());
                self.worker.spawn(async move {
                    pool.connect().await;
                    drop(turn);
                });
            }
            news.await;
        }
    }

    /// Waits until there is no connection, and has one of them stay until then.
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
                () = self.worker.sleep(CHECK) => {}
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

    fn chance(&self) -> f64 {
        self.worker.rng().borrow_mut().f64()
    }
}

/// The pause after so many connections in a row that were brief.
fn pause(first: Duration, brief: u32) -> Duration {
    first.saturating_mul(1 << brief.saturating_sub(1).min(10)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_connections_are_brief() {
        let seconds = |brief| pause(AFTER_END, brief).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, 1_000_000].map(seconds), [1, 1, 2, 4, 8, 10, 10]);
        assert_eq!(pause(AFTER_BREAK, 1), AFTER_BREAK);
    }
}
