//! Requests that wait for room, in two lines: those that may use less stand in nobody's way.

use std::cell::Cell;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::room::Share;

/// Who waits, and how they are told that there may be room.
#[derive(Default)]
pub struct Freed {
    whole: Line,
    reduced: Line,
}

#[derive(Default)]
struct Line {
    waiting: Cell<usize>,
    freed: Notify,
}

impl Freed {
    fn line(&self, share: Share) -> &Line {
        match share {
            Share::Whole => &self.whole,
            Share::Reduced => &self.reduced,
        }
    }

    fn lines(&self) -> [&Line; 2] {
        [&self.whole, &self.reduced]
    }

    /// Is told the next time that there may be room.
    pub fn told(&self, share: Share) -> Notified<'_> {
        self.line(share).freed.notified()
    }

    /// Tells the first in each line.
    pub fn notify_one(&self) {
        for line in self.lines() {
            if line.waiting.get() > 0 {
                line.freed.notify_one();
            }
        }
    }

    /// Tells all.
    pub fn notify_waiters(&self) {
        for line in self.lines() {
            line.freed.notify_waiters();
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

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.whole.waiting.get() + self.reduced.waiting.get()
    }

    /// Those that one with this share would overtake.
    pub fn before(&self, share: Share) -> usize {
        match share {
            Share::Whole => self.whole.waiting.get(),
            Share::Reduced => self.waiting(),
        }
    }
}
