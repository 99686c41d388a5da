//! Attempts whose result is not sent to the client, since another attempt is made.

use std::time::Duration;

use super::Attempt;
use crate::model::{AttemptOutcome, Time};
use crate::net::Worker;

impl Attempt {
    /// Records how it ended.
    pub fn on_retried(&self, worker: &Worker, outcome: AttemptOutcome) {
        let now = worker.now();
        let stats = self.endpoint().worker_stats(worker.index());
        self.record_result(stats, outcome, None, now);
        self.record_failure(outcome, now);
        self.endpoint().note_retried();
    }

    /// Another attempt was answered first, so this one is cancelled. The time for which its backend was
    /// silent is a lower bound of its latency.
    pub fn on_lost(&self, now: Time) {
        self.on_abandoned(now);
        if let Some(back) = self.back().filter(|back| back.conn().is_silent()) {
            back.conn().ask();
        }
        self.cancel();
    }

    /// Marks it as a hedge: an attempt beside another one.
    pub fn mark_as_hedge(&self) {
        self.is_hedge.set(true);
    }

    /// Whether it is a hedge.
    pub fn is_hedge(&self) -> bool {
        self.is_hedge.get()
    }

    /// The 95th percentile of its method's recent durations, if known.
    pub fn recent_p95(&self, now: Time) -> Option<Duration> {
        self.view.calls.recent_p95(self.called.as_ref()?, now)
    }

    /// The median of the durations of its method, if known.
    pub fn p50(&self) -> Option<Duration> {
        self.view.calls.p50(self.called.as_ref()?)
    }

    /// Whether its backend was chosen by a hash key, so that the same backend is tried first.
    pub fn is_by_key(&self) -> bool {
        self.view.snapshot.spec.balancer.factory.key().is_some()
    }

    /// Prepares another attempt at its backend, on a connection that has not refused the request. Returns
    /// false if there is none.
    pub fn renew_connection(&self, worker: &Worker) -> bool {
        self.back().is_some_and(|back| self.pool.renew(back.conn(), worker.now()))
    }
}
