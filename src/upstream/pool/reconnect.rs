//! Automatic reconnects with exponential back-off, so that a recovered endpoint gets its share at
//! once, and not only when a request is risked on it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::Pool;
use crate::upstream::ConnectError;

/// Initial back-off, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Maximum back-off, unless very many endpoints are unreachable.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Minimum back-off per unreachable endpoint of a worker: all its pools together make at most 500
/// attempts a second.
const PAUSE_EACH: Duration = Duration::from_millis(2);

/// After so long without a request, retrying stops, or becomes rare if a warm connection is kept.
const WANTED_FOR: Duration = Duration::from_secs(60);

/// Maximum back-off without requests; half of it is the minimum (jitter).
const SELDOM: Duration = Duration::from_secs(5);

/// Number of unreachable endpoints of a worker.
#[derive(Debug, Default)]
pub struct Outages(Cell<u32>);

impl Outages {
    fn add(&self, change: i32) {
        self.0.set(self.0.get().saturating_add_signed(change));
    }

    /// Back-off after `failures` in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
        doubled.max(PAUSE_EACH.saturating_mul(self.0.get()))
    }
}

/// RAII guard: counts an endpoint as unreachable.
struct Outage(Rc<Outages>);

impl Outage {
    fn new(outages: &Rc<Outages>) -> Outage {
        outages.add(1);
        Outage(Rc::clone(outages))
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

impl Pool {
    /// Records a failed attempt and starts the reconnect loop.
    pub(super) fn note_failure(&self, error: &ConnectError) {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        self.retry_at.set(self.worker.now() + self.outages.pause(failures));
        self.observer.failed(&self.endpoint, error, self.worker.now());
        self.keep_trying();
    }

    /// The reconnect loop: until it succeeds or nobody needs the endpoint.
    fn keep_trying(&self) {
        if self.trying.replace(true) {
            return;
        }
        let (pool, worker) = (self.this.clone(), Rc::clone(&self.worker));
        let (outage, asked) = (Outage::new(&self.outages), Rc::clone(&self.asked));
        self.worker.spawn(async move {
            let _outage = outage;
            loop {
                let Some(pause) = pool.upgrade().map(|pool| pool.pause()) else { return };
                tokio::select! {
                    biased;
                    () = worker.sleep(pause) => {}
                    () = asked.notified() => continue,
                }
                let Some(pool) = pool.upgrade() else { return };
                if !pool.is_wanted() {
                    return pool.trying.set(false);
                }
                if pool.connecting.get() == 0 {
                    pool.begin_connecting();
                    pool.connect().await;
                }
            }
        });
    }

    /// Records that a request waits for a connection.
    pub(super) fn note_asked(&self) {
        self.asked_at.set(self.worker.now());
        if self.tries_seldom.replace(false) {
            self.asked.notify_one();
        }
    }

    fn pause(&self) -> Duration {
        let pause = self.retry_at.get().since(self.worker.now()).max(FIRST_PAUSE);
        self.tries_seldom.set(!self.was_asked());
        if self.was_asked() {
            return pause;
        }
        let jitter = 0.5 + 0.5 * self.worker.rng().borrow_mut().f64();
        pause.max(SELDOM.mul_f64(jitter))
    }

    fn was_asked(&self) -> bool {
        self.worker.now().since(self.asked_at.get()) < WANTED_FOR
    }

    /// Whether a connection is wanted and there is none.
    fn is_wanted(&self) -> bool {
        let wanted = self.was_asked() || self.keeper.borrow().is_some();
        wanted && !self.retired.get() && self.usable() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_second_and_beyond_where_very_many_are_away() {
        let outages = Rc::new(Outages::default());
        let millis = |failures| outages.pause(failures).as_millis();
        assert_eq!([1, 2, 5, 6, 1_000_000].map(millis), [20, 40, 320, 500, 500]);
        let many: Vec<_> = (0..10_000).map(|_| Outage::new(&outages)).collect();
        assert_eq!(outages.pause(1), Duration::from_secs(20));
        drop(many);
        assert_eq!(outages.pause(1), Duration::from_millis(20));
    }
}
