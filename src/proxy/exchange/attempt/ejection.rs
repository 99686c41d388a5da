//! Reports the results of attempts to outlier ejection.

use std::time::Duration;

use super::Attempt;
use crate::model::{AttemptFailure, AttemptOutcome, HealthSignal, Time, WorkerStats};
use crate::service::Snapshot;

impl Attempt {
    /// Records the result; the latency is that of a call that was answered.
    pub(super) fn record_result(
        &self,
        stats: &WorkerStats,
        outcome: AttemptOutcome,
        latency: Option<Duration>,
        now: Time,
    ) {
        let lost = outcome == AttemptOutcome::Failed(AttemptFailure::Lost);
        if self.on_trial.get() {
            return self.end_trial(if lost { Some(HealthSignal::Fault) } else { outcome.signal() });
        }
        let Snapshot { spec, reevaluate_signal, .. } = &*self.view.snapshot;
        let Some(ejection) = &spec.ejection else { return };
        let faults = self.endpoint().faults();
        let consecutive = match outcome.signal() {
            Some(signal) => {
                stats.results().record(signal, latency);
                faults.record(signal)
            }
            None if lost => faults.record_lost(now),
            None => None,
        };
        // At every multiple, not only once: an ejection refused by the limit now may be allowed
        // later.
        if consecutive.is_some_and(|faults| faults.is_multiple_of(ejection.consecutive)) {
            reevaluate_signal.notify_one();
        }
    }

    /// Ends the trial request, if it is one.
    pub(super) fn end_trial(&self, signal: Option<HealthSignal>) {
        let ends = self.on_trial.take();
        if ends && self.endpoint().faults().end_trial(self.class_since.get(), signal) {
            self.view.snapshot.reevaluate_signal.notify_one();
        }
    }
}
