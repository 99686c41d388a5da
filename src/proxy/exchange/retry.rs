//! Decides retries at another backend, when none can have processed the request.

use super::attempted_endpoints::AttemptedEndpoints;
use super::{Attempt, Destination, Exchange};

/// Larger heads are not retried, to bound the memory they hold.
const REPLAY_HEAD: usize = 8 << 10;

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
        let whole = self.end || self.front.is_replayable();
        let small = self.head.borrow().list_size() <= REPLAY_HEAD;
        if attempted.is_resent() || self.sent_trailers.get() || !whole || !small {
            return false;
        }
        let granted =
            destination.worker_service().is_some_and(|worker_service| worker_service.may_retry());
        if granted {
            self.front.rewind();
        }
        granted
    }
}
