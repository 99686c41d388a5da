//! The one clock: monotonic time since the process started.
//!
//! Everything below takes [`Time`] as an argument; only drivers and cold tasks read it here.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use crate::model::Time;

/// The time now. Never goes back.
#[expect(clippy::disallowed_methods)] // here time comes from
pub fn now() -> Time {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = EPOCH.get_or_init(Instant::now);
    Time::from_nanos(u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// The seconds since 1970 now, as the machine has them: for people, never to measure with.
#[expect(clippy::disallowed_methods)] // here time comes from
pub fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// The date now, as the machine has it: for people, never to measure with.
#[expect(clippy::disallowed_methods)] // here time comes from
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Keeps what happens all the time from being said all the time.
#[derive(Debug)]
pub struct Seldom {
    every: Duration,
    next: Time,
}

impl Seldom {
    /// Due at once, and then each time that this long has passed.
    pub const fn every(every: Duration) -> Seldom {
        Seldom { every, next: Time::ZERO }
    }

    /// Whether it is time; if so, not again for a while.
    pub fn is_due(&mut self) -> bool {
        let now = now();
        let due = now >= self.next;
        if due {
            self.next = now + self.every;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seldom_is_once_in_a_while() {
        let mut seldom = Seldom::every(Duration::from_secs(3600));
        assert!(seldom.is_due());
        assert!(!seldom.is_due());
        let mut always = Seldom::every(Duration::ZERO);
        assert!(always.is_due() && always.is_due());
    }
}
