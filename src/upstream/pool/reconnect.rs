//! Automatic reconnects with exponential back-off, so that a recovered endpoint gets its share at
//! once, and no request is risked on it.
//!
//! Where the whole process has no connection the endpoint is down, and one worker reconnects for all;
//! where only this worker has none, it reconnects for itself.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Pool;
use crate::model::Time;
use crate::upstream::ConnectError;

/// Initial back-off, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Maximum back-off, unless very many endpoints are unreachable: who is back is found within this.
const LONGEST_PAUSE: Duration = Duration::from_millis(150);

/// Maximum back-off towards an endpoint that is lost again and again soon after its return.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// Minimum back-off per unreachable endpoint of a worker: all its pools together make at most 500
/// attempts a second.
const PAUSE_EACH: Duration = Duration::from_millis(2);

/// Maximum back-off while nobody asks for the service; half of it is the minimum (jitter).
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

/// Back-off before the first attempt, after so many brief lives in a row.
fn rest(flaps: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << flaps.min(10)).min(LONGEST_REST)
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

    pub(super) fn forget_failures(&self) {
        self.failures.set(0);
        self.retry_at.set(Time::ZERO);
    }

    /// Takes notice of whether the endpoint is `out` of the service's set because it is down. It is
    /// one pool of all workers' that `restores` the endpoint; the others connect again when it is
    /// back.
    pub fn set_out(&self, out: bool, restores: bool) {
        self.restores.set(out && restores);
        let was_out = self.out.replace(out);
        if self.restores.get() {
            self.keep_trying();
        } else if was_out && !out {
            self.forget_failures();
            self.unreachable.take();
            if self.wanted.get() && self.usable() == 0 && self.connecting.get() == 0 {
                self.connect_now();
            }
        }
    }

    /// The reconnect loop: until it succeeds or nobody needs the endpoint.
    fn keep_trying(&self) {
        if self.trying.replace(true) {
            return;
        }
        let (pool, worker) = (self.this.clone(), Rc::clone(&self.worker));
        let (outage, demand) = (Outage::new(&self.outages), Arc::clone(&self.demand));
        self.worker.spawn(async move {
            let _outage = outage;
            loop {
                let renewed = demand.renewed();
                let Some(pause) = pool.upgrade().map(|pool| pool.pause()) else { return };
                tokio::select! {
                    biased;
                    () = worker.sleep(pause) => {}
                    () = renewed => continue,
                }
                let Some(pool) = pool.upgrade() else { return };
                if !pool.needs_connection() {
                    return pool.trying.set(false);
                }
                if pool.connecting.get() == 0 {
                    pool.begin_connecting();
                    pool.connect().await;
                }
            }
        });
    }

    /// Back-off before the next attempt, with jitter.
    fn pause(&self) -> Duration {
        let now = self.worker.now();
        let least = match self.failures.get() {
            0 => rest(self.endpoint.outage().flaps()),
            _ => FIRST_PAUSE,
        };
        let pause = self.retry_at.get().since(now).max(least);
        let chance = self.worker.rng().borrow_mut().f64();
        match self.demand.is_recent(now) {
            true => pause.mul_f64(0.8 + 0.2 * chance),
            false => pause.max(SELDOM.mul_f64(0.5 + 0.5 * chance)),
        }
    }

    /// Whether there is no connection, and this pool is to make one without a request.
    fn needs_connection(&self) -> bool {
        let wanted = match self.endpoint.outage().is_down() {
            true => self.restores.get(),
            false => {
                let asked = self.wanted.get() && self.demand.is_recent(self.worker.now());
                asked || self.keeper.borrow().is_some()
            }
        };
        wanted && !self.retired.get() && self.usable() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_beyond_where_very_many_are_away() {
        let outages = Rc::new(Outages::default());
        let millis = |failures| outages.pause(failures).as_millis();
        assert_eq!([1, 2, 3, 4, 5, 1_000_000].map(millis), [20, 40, 80, 150, 150, 150]);
        let many: Vec<_> = (0..10_000).map(|_| Outage::new(&outages)).collect();
        assert_eq!(outages.pause(1), Duration::from_secs(20));
        drop(many);
        assert_eq!(outages.pause(1), Duration::from_millis(20));
    }

    #[test]
    fn who_is_lost_again_and_again_rests_longer() {
        let millis = |brief| rest(brief).as_millis();
        assert_eq!([0, 1, 3, 5, 6, 1_000_000].map(millis), [10, 20, 80, 320, 500, 500]);
    }
}
