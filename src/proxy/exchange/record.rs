//! Records outcomes: the only place where an exchange updates metrics, estimates and the log.

use super::super::failure::Failure;
use super::{Attempt, Exchange, Outcome};
use crate::http::{Cause, ErrorCode};
use crate::model::{AttemptOutcome, Class, RejectReason};
use crate::net::Over;
use crate::tasks::OnPanic;

impl Exchange {
    /// Records the outcome, at most once; `attempt` is the one that led to it.
    pub(super) fn record(&self, outcome: Outcome, attempt: Option<&Attempt>) {
        if self.recorded.replace(true) {
            return;
        }
        self.note_end(&outcome);
        let now = self.proxy.worker.now();
        let attempt = attempt.filter(|attempt| attempt.is_sent());
        match attempt {
            Some(attempt) => attempt.on_end(&self.proxy.worker, self.started, &outcome),
            None => self.record_unsent(&outcome),
        }
        self.count_expired(&outcome);
        self.count_retried(&outcome);
        self.count_cut(&outcome, attempt);
        self.proxy.metrics.exchange_ended(outcome.class());
        let backend = attempt.map(|attempt| attempt.pool().endpoint().address());
        self.log.write(self.destination.get(), backend, &outcome, now.since(self.started));
    }

    /// Records the failure of an attempt that is retried, or whose request was not sent.
    pub(super) fn record_failed(&self, attempt: &Attempt, failure: Failure) {
        attempt.record_failure(failure.attempt_outcome(), self.proxy.worker.now());
    }

    /// Counts an expired deadline by its phase.
    fn count_expired(&self, outcome: &Outcome) {
        let Some(expired) = outcome.expired else { return };
        if let Some(worker_service) = self.destination.get().and_then(|to| to.worker_service()) {
            worker_service.service().expired().increment(expired, self.proxy.worker.index());
        }
    }

    /// Counts a request cut off by its backend's drain timeout.
    fn count_cut(&self, outcome: &Outcome, attempt: Option<&Attempt>) {
        let Some(attempt) = attempt.filter(|_| outcome.failure == Some(Failure::Drained)) else {
            return;
        };
        attempt.pool().endpoint().note_cut();
        if let Some(worker_service) = self.destination.get().and_then(|to| to.worker_service()) {
            worker_service.service().drain_cuts().increment(self.proxy.worker.index());
        }
    }

    /// Counts a request that was not sent to a backend, by its route and service if these are known.
    fn record_unsent(&self, outcome: &Outcome) {
        let Some(reason) = outcome.rejected() else { return };
        let reason = client_violation(self.front.over()).unwrap_or(reason);
        let worker = self.proxy.worker.index();
        let Some((destination, rejections)) =
            self.destination.get().and_then(|to| Some((to, to.rejections()?)))
        else {
            return self.proxy.metrics.reject(reason);
        };
        match destination.worker_service() {
            Some(worker_service) => rejections.reject(worker_service.service(), reason, worker),
            None => rejections.reject_unserved(&self.proxy.registry, reason, worker),
        }
    }
}

/// The reject reason, if the client broke the protocol or a limit.
fn client_violation(over: Option<Over>) -> Option<RejectReason> {
    match over? {
        Over::Fault | Over::Reset { cause: Cause::Malformed(_), .. } => {
            Some(RejectReason::Malformed)
        }
        Over::Reset { cause: Cause::TooLarge, .. } => Some(RejectReason::TooLarge),
        _ => None,
    }
}

impl Outcome {
    /// The reject reason, if no backend had the request and it was not answered.
    fn rejected(&self) -> Option<RejectReason> {
        match self.failure {
            Some(failure) => failure.reason(),
            None => (self.attempt_outcome == AttemptOutcome::ClientGone)
                .then_some(RejectReason::Cancelled),
        }
    }
}

/// An exchange dropped unfinished, by a panic or at the worker's end, is counted as failed.
impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.recorded.get() {
            self.proxy.metrics.exchange_ended(Class::Failure);
        }
        self.return_permit();
        drop(OnPanic(|| self.abandon())); // runs only while panicking
    }
}

impl Exchange {
    /// Resets the client's stream, so that the client does not wait for ever.
    fn abandon(&self) {
        if self.front.is_open() {
            self.front.reset(ErrorCode::INTERNAL_ERROR);
        }
        self.front.detach();
    }
}
