//! Requests of one worker that wait for the first backend of their service that is back.

use std::cell::Cell;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The waiting requests of a service, which are notified of every new view.
#[derive(Default)]
pub struct WaitingRequests {
    count: Cell<usize>,
    renewed: Notify,
}

/// RAII guard: counts a waiting request.
pub struct Place<'a>(&'a WaitingRequests);

impl WaitingRequests {
    /// A place to wait, unless `most` requests wait already.
    pub fn enter(&self, most: usize) -> Option<Place<'_>> {
        let count = self.count.get();
        (count < most).then(|| {
            self.count.set(count + 1);
            Place(self)
        })
    }

    /// Resolves when there is another view.
    pub fn renewed(&self) -> Notified<'_> {
        self.renewed.notified()
    }

    /// There is another view.
    pub fn renew(&self) {
        self.renewed.notify_waiters();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
    }
}
