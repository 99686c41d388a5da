//! Whether a request may be sent to another backend, when none can have begun it.

use super::tried::Tried;
use super::{Attempt, Destination, Exchange};

/// Heads larger than this are not kept for a second try: many of them would be a burden.
const REPLAY_HEAD: usize = 8 << 10;

impl Exchange {
    /// Whether another backend may be asked after `attempt`, and has the body begin anew for it.
    /// What the last one never had can go to the next. What it has given back can once: if it is
    /// all still here, and the service's budget has room.
    pub(super) fn may_retry(
        &self,
        destination: &Destination,
        attempt: &Attempt,
        tried: &Tried,
    ) -> bool {
        if !attempt.is_sent() {
            return true;
        }
        let whole = self.end || self.front.is_replayable();
        let small = self.head.borrow().list_size() <= REPLAY_HEAD;
        if tried.is_resent() || self.sent_trailers.get() || !whole || !small {
            return false;
        }
        let granted = destination.target().is_some_and(|target| target.may_retry());
        if granted {
            self.front.rewind();
        }
        granted
    }
}
