//! An attempt whose result does not reach the client, as another one is made.

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

    /// Another attempt was answered first: it is cancelled. For how long the backend was silent says
    /// that it takes as long at least, or that it is frozen.
    pub fn on_lost(&self, now: Time) {
        self.on_abandoned(now);
        if let Some(back) = self.back().filter(|back| back.conn().is_silent()) {
            back.conn().ask();
        }
        self.cancel();
    }

    /// Marks it as one beside another.
    pub fn mark_as_hedge(&self) {
        self.is_hedge.set(true);
    }

    /// Whether it is one beside another.
    pub fn is_hedge(&self) -> bool {
        self.is_hedge.get()
    }

    /// The 95th percentile of its method's durations of late, if known.
    pub fn recent_p95(&self, now: Time) -> Option<Duration> {
        self.view.calls.recent_p95(self.called.as_ref()?, now)
    }

    /// The median of the durations of its method, if known.
    pub fn p50(&self) -> Option<Duration> {
        self.view.calls.p50(self.called.as_ref()?)
    }

    /// Whether its backend was chosen by a key, so that the same one is to be asked first.
    pub fn is_by_key(&self) -> bool {
        self.view.snapshot.spec.balancer.factory.key().is_some()
    }

    /// Prepares its backend to be asked again on a connection that has not refused the request.
    /// Returns false if there is none.
    pub fn renew_connection(&self, worker: &Worker) -> bool {
        self.back().is_some_and(|back| self.pool.renew(back.conn(), worker.now()))
    }
}
