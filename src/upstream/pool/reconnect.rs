//! Automatic reconnects with exponential back-off, so that a recovered endpoint gets its share at
//! once, and no request is risked on it.
//!
//! If no worker has a connection, the endpoint is down, and one worker reconnects for all. If only this
//! worker has none, it reconnects for itself.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Pool;
use crate::model::Time;
use crate::upstream::ConnectError;

/// Initial back-off, doubled each time.
const INITIAL_BACKOFF: Duration = Duration::from_millis(10);

/// Maximum back-off, unless very many endpoints are unreachable: a recovered one is found within this.
const MAX_BACKOFF: Duration = Duration::from_millis(150);

/// Maximum back-off towards an endpoint that flaps.
const MAX_FLAP_BACKOFF: Duration = Duration::from_millis(500);

/// Minimum back-off per unreachable endpoint of a worker: all its pools together make at most 500
/// attempts a second.
const BACKOFF_PER_ENDPOINT: Duration = Duration::from_millis(2);

/// Maximum back-off while the service gets no requests; half of it is the minimum (jitter).
const MAX_IDLE_BACKOFF: Duration = Duration::from_secs(5);

/// Number of unreachable endpoints of a worker.
#[derive(Debug, Default)]
pub struct UnreachableCount(Cell<u32>);

impl UnreachableCount {
    fn add(&self, change: i32) {
        self.0.set(self.0.get().saturating_add_signed(change));
    }

    /// Back-off after `failures` in a row.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        let doubled = INITIAL_BACKOFF.saturating_mul(1 << failures.min(10)).min(MAX_BACKOFF);
        doubled.max(BACKOFF_PER_ENDPOINT.saturating_mul(self.0.get()))
    }
}

/// Back-off before the first attempt, after this many flaps in a row.
fn flap_backoff(flaps: u32) -> Duration {
    INITIAL_BACKOFF.saturating_mul(1 << flaps.min(10)).min(MAX_FLAP_BACKOFF)
}

/// RAII guard: counts an endpoint as unreachable.
struct UnreachableGuard(Rc<UnreachableCount>);

impl UnreachableGuard {
    fn new(unreachable_count: &Rc<UnreachableCount>) -> UnreachableGuard {
        unreachable_count.add(1);
        UnreachableGuard(Rc::clone(unreachable_count))
    }
}

impl Drop for UnreachableGuard {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

impl Pool {
    /// Records a failed attempt and starts the reconnect loop.
    pub(super) fn note_failure(&self, error: &ConnectError) {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        self.retry_at.set(self.worker.now() + self.unreachable_count.backoff(failures));
        self.observer.failed(&self.endpoint, error, self.worker.now());
        self.start_reconnecting();
    }

    pub(super) fn forget_failures(&self) {
        self.failures.set(0);
        self.retry_at.set(Time::ZERO);
    }

    /// Sets whether the endpoint is down, and so excluded. Of all workers' pools one `restores` it; the
    /// others connect again once it is up.
    pub fn set_down(&self, down: bool, restores: bool) {
        self.restores.set(down && restores);
        let was_down = self.down.replace(down);
        if self.restores.get() {
            self.start_reconnecting();
        } else if was_down && !down {
            self.forget_failures();
            self.unreachable.take();
            if self.wanted.get() && self.usable() == 0 && self.connecting.get() == 0 {
                self.connect_now();
            }
        }
    }

    /// The reconnect loop: until it succeeds or nobody needs the endpoint.
    fn start_reconnecting(&self) {
        if self.reconnecting.replace(true) {
            return;
        }
        let (pool, worker) = (self.this.clone(), Rc::clone(&self.worker));
        let (outage, demand) =
            (UnreachableGuard::new(&self.unreachable_count), Arc::clone(&self.demand));
        self.worker.spawn(async move {
            let _outage = outage;
            loop {
                let renewed = demand.renewed();
                let Some(backoff) = pool.upgrade().map(|pool| pool.backoff()) else { return };
                tokio::select! {
                    biased;
                    () = worker.sleep(backoff) => {}
                    () = renewed => continue,
                }
                let Some(pool) = pool.upgrade() else { return };
                if !pool.needs_connection() {
                    return pool.reconnecting.set(false);
                }
                if pool.connecting.get() == 0 {
                    pool.begin_connecting();
                    pool.connect().await;
                }
            }
        });
    }

    /// Back-off before the next attempt, with jitter.
    fn backoff(&self) -> Duration {
        let now = self.worker.now();
        let least = match self.failures.get() {
            0 => flap_backoff(self.endpoint.outage().flaps()),
            _ => INITIAL_BACKOFF,
        };
        let backoff = self.retry_at.get().since(now).max(least);
        let chance = self.worker.rng().borrow_mut().f64();
        match self.demand.is_recent(now) {
            true => backoff.mul_f64(0.8 + 0.2 * chance),
            false => backoff.max(MAX_IDLE_BACKOFF.mul_f64(0.5 + 0.5 * chance)),
        }
    }

    /// Whether this pool is to make a connection without a request, as there is none that works.
    fn needs_connection(&self) -> bool {
        let wanted = match self.endpoint.outage().is_down() {
            true => self.restores.get(), // beside what there is, which is not known to work
            false => {
                let asked = self.wanted.get() && self.demand.is_recent(self.worker.now());
                (asked || self.keeper.borrow().is_some()) && self.usable() == 0
            }
        };
        wanted && !self.retired.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_with_failures_and_with_unreachable_endpoints() {
        let unreachable_count = Rc::new(UnreachableCount::default());
        let millis = |failures| unreachable_count.backoff(failures).as_millis();
        assert_eq!([1, 2, 3, 4, 5, 1_000_000].map(millis), [20, 40, 80, 150, 150, 150]);
        let many: Vec<_> = (0..10_000).map(|_| UnreachableGuard::new(&unreachable_count)).collect();
        assert_eq!(unreachable_count.backoff(1), Duration::from_secs(20));
        drop(many);
        assert_eq!(unreachable_count.backoff(1), Duration::from_millis(20));
    }

    #[test]
    fn a_flapping_endpoint_has_a_longer_backoff() {
        let millis = |flaps| flap_backoff(flaps).as_millis();
        assert_eq!([0, 1, 3, 5, 6, 1_000_000].map(millis), [10, 20, 80, 320, 500, 500]);
    }
}
