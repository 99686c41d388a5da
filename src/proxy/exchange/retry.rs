//! Decides retries at another backend, when none has processed the request.

use super::attempted_endpoints::AttemptedEndpoints;
use super::{Attempt, Destination, Exchange};

/// Larger heads are not retried, to bound the memory they hold.
const MAX_REPLAY_HEAD: usize = 8 << 10;

impl Exchange {
    /// Whether the request may be retried after `attempt`; rewinds the body if so. A request that
    /// was never sent can always go to the next backend. One that was sent and refused is retried
    /// once, if all of it is still buffered and the service's retry budget allows.
    pub(super) fn may_retry(
        &self,
        destination: &Destination,
        attempt: &Attempt,
        attempted: &AttemptedEndpoints,
    ) -> bool {
        if !attempt.is_sent() {
            return true;
        }
        if attempted.is_resent() || !self.is_buffered() {
            return false;
        }
        let granted =
            destination.worker_service().is_some_and(|worker_service| worker_service.may_retry());
        if granted {
            self.front.rewind();
        }
        granted
    }

    /// Begins an attempt at another backend, which may implement the method that the backend of `attempt`
    /// does not; rewinds the body. `None` if there is no such backend, or the request is no longer
    /// buffered.
    ///
    /// The retry budget does not count these retries: they end once it is known which backends implement
    /// the method.
    pub(super) fn retry_unimplemented(
        &self,
        destination: &Destination,
        attempt: &Attempt,
        attempted: &mut AttemptedEndpoints,
    ) -> Option<Attempt> {
        if !attempt.learn_unimplemented(self.proxy.worker.now()) || !self.is_buffered() {
            return None;
        }
        attempted.passed_over(attempt);
        self.proxy.router.refresh(); // the next pick uses the newest snapshot
        let next = self.pick(destination, attempted)?;
        attempt.pass_over(&self.proxy.worker);
        self.front.rewind();
        destination.worker_service()?.count_unimplemented();
        Some(next)
    }

    /// Whether all of the request that was received is still buffered, to be sent again.
    fn is_buffered(&self) -> bool {
        let whole = self.end || self.front.is_replayable();
        let small = self.head.borrow().list_size() <= MAX_REPLAY_HEAD;
        whole && small && !self.sent_trailers.get()
    }
}
