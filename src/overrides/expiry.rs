//! When a change is over.

use std::time::{Duration, SystemTime};

use crate::model::Time;

/// When a change is over, by two clocks: that of this process, which nobody sets, and that of the
/// wall, which a restart outlives.
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// By the clock of the process.
    pub at: Time,
    /// By the wall clock.
    pub wall: SystemTime,
}

impl Expiry {
    /// `ttl` from now.
    pub fn after(ttl: Duration, now: Time, wall: SystemTime) -> Expiry {
        Expiry { at: now + ttl, wall: wall.checked_add(ttl).unwrap_or(wall) }
    }

    /// At `end`, as an earlier process has written it; at once if that is past.
    pub fn at_wall(end: SystemTime, now: Time, wall: SystemTime) -> Expiry {
        Expiry { at: now + end.duration_since(wall).unwrap_or_default(), wall: end }
    }

    /// Whether it is over.
    pub fn is_over(&self, now: Time) -> bool {
        self.at <= now
    }
}

/// By the process' clock: equal ends are one.
impl PartialEq for Expiry {
    fn eq(&self, other: &Expiry) -> bool {
        self.at == other.at
    }
}

impl Eq for Expiry {}
