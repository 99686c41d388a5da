//! Backpressure from slow clients: counts the bytes that clients of a worker have not read, and says
//! when to shrink the receive windows towards backends.

use std::cell::Cell;
use std::time::Duration;

use crate::model::Time;

/// Below this, backends get full receive windows.
const LOW_WATER: usize = 2 << 20;

/// The count must stay below that for this long before windows grow again (hysteresis).
const HYSTERESIS: Duration = Duration::from_secs(5);

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

    /// Whether the threshold was crossed since the last call, so that windows have to shrink. Called once
    /// a turn.
    pub fn overflows(&self, now: Time) -> bool {
        if self.bytes.get() <= LOW_WATER {
            return false;
        }
        let before = self.narrow_until.replace(now + HYSTERESIS);
        before <= now
    }

    /// Whether windows have to be small.
    pub fn is_high(&self, now: Time) -> bool {
        self.bytes.get() > LOW_WATER || now < self.narrow_until.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Time = |seconds| Time::from_millis(1000 * seconds);

    #[test]
    fn backends_are_narrowed_once_when_much_is_unread() {
        let unread = Unread::default();
        unread.account(0, LOW_WATER);
        assert!(!unread.overflows(S(1)) && !unread.is_high(S(1)));
        unread.account(0, 1);
        assert!(unread.overflows(S(1)) && unread.is_high(S(1)));
        assert!(!unread.overflows(S(2)), "they have been told");
    }

    #[test]
    fn backends_are_widened_after_a_calm_time() {
        let unread = Unread::default();
        unread.account(0, LOW_WATER + 1);
        assert!(unread.overflows(S(10)));
        assert!(unread.is_high(S(1000)), "as long as it waits");
        assert!(!unread.overflows(S(12)));
        unread.account(LOW_WATER + 1, LOW_WATER);
        assert!(unread.is_high(S(16)), "it was too much 4 s ago");
        assert!(!unread.is_high(S(17)));
        unread.account(0, 1);
        assert!(unread.overflows(S(18)), "it is too much again");
    }
}
