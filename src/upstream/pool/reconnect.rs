//! An endpoint that could not be connected to is tried again by itself, so that it has its share
//! soon after it is back, and not when a request happens to be risked on it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::Pool;
use crate::upstream::ConnectError;

/// The first pause after a failed connect, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause, where not very many endpoints are unreachable.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// For each endpoint that a worker cannot reach, pauses are so long at least: together its pools
/// make 500 attempts a second at most.
const PAUSE_EACH: Duration = Duration::from_millis(2);

/// Without a request that wants the endpoint for so long, it is tried no more, or seldom if a
/// connection is to be kept.
const WANTED_FOR: Duration = Duration::from_secs(60);

/// The longest pause where no request wants the endpoint; half of it is the shortest.
const SELDOM: Duration = Duration::from_secs(5);

/// How many endpoints one worker cannot reach.
#[derive(Debug, Default)]
pub struct Outages(Cell<u32>);

impl Outages {
    fn add(&self, change: i32) {
        self.0.set(self.0.get().saturating_add_signed(change));
    }

    /// The pause after so many failures in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
        doubled.max(PAUSE_EACH.saturating_mul(self.0.get()))
    }
}

/// Counts an endpoint as unreachable for as long as this lasts.
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
    /// Notes that connecting has failed, and has it tried again.
    pub(super) fn note_failure(&self, error: &ConnectError) {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        self.retry_at.set(self.worker.now() + self.outages.pause(failures));
        self.observer.failed(&self.endpoint, error, self.worker.now());
        self.keep_trying();
    }

    /// Tries to connect until it can, or nobody wants the endpoint any more.
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

    /// Notes that a request waits for a connection.
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
