//! Backpressure from slow clients: bytes unread by clients of a worker, and when backends' windows
//! shrink for that.

use std::cell::Cell;
use std::time::Duration;

use crate::model::Time;

/// Below this, backends get full receive windows.
const LITTLE: usize = 2 << 20;

/// It must stay below that for this long before windows grow again (hysteresis).
const CALM: Duration = Duration::from_secs(5);

/// Bytes of responses that clients have not read.
#[derive(Debug, Default)]
pub struct Unread {
    bytes: Cell<usize>,
    narrow_until: Cell<Time>,
}

impl Unread {
    /// Replaces a connection's share of `before` bytes by `after`.
    pub fn account(&self, before: usize, after: usize) {
        self.bytes.set((self.bytes.get() + after).saturating_sub(before));
    }

    /// Checked once a turn: whether the threshold was crossed just now, so that windows are to
    /// shrink.
    pub fn overflows(&self, now: Time) -> bool {
        if self.bytes.get() <= LITTLE {
            return false;
        }
        let before = self.narrow_until.replace(now + CALM);
        before <= now
    }

    /// Whether windows are to be small.
    pub fn is_much(&self, now: Time) -> bool {
        self.bytes.get() > LITTLE || now < self.narrow_until.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Time = |seconds| Time::from_millis(1000 * seconds);

    #[test]
    fn backends_are_told_once_when_much_waits() {
        let unread = Unread::default();
        unread.account(0, LITTLE);
        assert!(!unread.overflows(S(1)) && !unread.is_much(S(1)));
        unread.account(0, 1);
        assert!(unread.overflows(S(1)) && unread.is_much(S(1)));
        assert!(!unread.overflows(S(2)), "they have been told");
    }

    #[test]
    fn they_are_left_alone_again_when_little_has_waited_for_a_while() {
        let unread = Unread::default();
        unread.account(0, LITTLE + 1);
        assert!(unread.overflows(S(10)));
        assert!(unread.is_much(S(1000)), "as long as it waits");
        assert!(!unread.overflows(S(12)));
        unread.account(LITTLE + 1, LITTLE);
        assert!(unread.is_much(S(16)), "it was too much 4 s ago");
        assert!(!unread.is_much(S(17)));
        unread.account(0, 1);
        assert!(unread.overflows(S(18)), "it is too much again");
    }
}
