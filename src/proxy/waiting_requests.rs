//! Requests of one worker that wait until any backend of their service is up again.

use std::cell::Cell;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The waiting requests of a service; they are notified of every new snapshot.
#[derive(Default)]
pub struct WaitingRequests {
    count: Cell<usize>,
    snapshot_changed: Notify,
}

/// RAII guard: counts a waiting request.
pub struct WaitSlot<'a>(&'a WaitingRequests);

impl WaitingRequests {
    /// A slot to wait in; `None` if `limit` requests wait already.
    pub fn try_enter(&self, limit: usize) -> Option<WaitSlot<'_>> {
        let count = self.count.get();
        (count < limit).then(|| {
            self.count.set(count + 1);
            WaitSlot(self)
        })
    }

    /// Resolves when there is a new snapshot.
    pub fn snapshot_changed(&self) -> Notified<'_> {
        self.snapshot_changed.notified()
    }

    /// Notifies all of a new snapshot.
    pub fn notify(&self) {
        self.snapshot_changed.notify_waiters();
    }
}

impl Drop for WaitSlot<'_> {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
    }
}
