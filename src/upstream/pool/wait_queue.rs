//! Wait queues for stream capacity, one per [`Share`], so that requests with the reduced share do
//! not block others.

use std::cell::Cell;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::select::Share;

/// The waiting requests, and how they are notified of capacity.
#[derive(Default)]
pub struct WaitQueue {
    whole: Line,
    reduced: Line,
}

#[derive(Default)]
struct Line {
    waiting: Cell<usize>,
    notify: Notify,
}

impl WaitQueue {
    fn line(&self, share: Share) -> &Line {
        match share {
            Share::Full => &self.whole,
            Share::Reduced => &self.reduced,
        }
    }

    fn lines(&self) -> [&Line; 2] {
        [&self.whole, &self.reduced]
    }

    /// Resolves at the next notification.
    pub fn notified(&self, share: Share) -> Notified<'_> {
        self.line(share).notify.notified()
    }

    /// Notifies the first of each queue.
    pub fn notify_one(&self) {
        for line in self.lines() {
            if line.waiting.get() > 0 {
                line.notify.notify_one();
            }
        }
    }

    /// Notifies all.
    pub fn notify_waiters(&self) {
        for line in self.lines() {
            line.notify.notify_waiters();
        }
    }

    pub fn enter(&self, share: Share) {
        let line = self.line(share);
        line.waiting.set(line.waiting.get() + 1);
    }

    pub fn leave(&self, share: Share) {
        let line = self.line(share);
        line.waiting.set(line.waiting.get() - 1);
    }

    /// Number of waiting requests.
    pub fn waiting(&self) -> usize {
        self.whole.waiting.get() + self.reduced.waiting.get()
    }

    /// Waiting requests that one with this share must not overtake.
    pub fn before(&self, share: Share) -> usize {
        match share {
            Share::Full => self.whole.waiting.get(),
            Share::Reduced => self.waiting(),
        }
    }
}
