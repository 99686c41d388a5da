//! The one clock: monotonic time since a start.
//!
//! Whoever puts a gateway together starts a [`Clock`] and gives it to all that has to know the time;
//! pure code is given a [`Time`]. It is the clock that tokio's timers go by, read in the same way and
//! at the same cost as that of the standard library: where that of a runtime stands still, and is
//! moved on from timer to timer, a whole gateway lives in virtual time.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::model::Time;

/// What tells the time. All copies of one tell the same.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// The time now. Never goes back.
    pub fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Ends then.
    pub fn sleep_until(&self, time: Time) -> tokio::time::Sleep {
        tokio::time::sleep(time.since(self.now()))
    }
}

/// The seconds since 1970 now, as the machine has them: for people, never to measure with.
pub fn unix_seconds() -> f64 {
    wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The date now, as the machine has it: for people, never to measure with.
#[expect(clippy::disallowed_methods)] // here the date comes from
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Keeps what happens all the time from being said all the time.
#[derive(Debug)]
pub struct LogThrottle {
    clock: Clock,
    every: Duration,
    next: Time,
}

impl LogThrottle {
    /// Due at once, and then each time that this long has passed.
    pub fn every(every: Duration, clock: Clock) -> LogThrottle {
        LogThrottle { clock, every, next: Time::ZERO }
    }

    /// Whether it is time; if so, not again for a while.
    pub fn is_due(&mut self) -> bool {
        let now = self.clock.now();
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

    #[tokio::test(start_paused = true)]
    async fn it_goes_with_the_timers() {
        let clock = Clock::start();
        let copy = clock;
        assert_eq!(clock.now(), Time::ZERO);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), Time::from_millis(3_600_000));
        assert_eq!(copy.now(), clock.now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_is_due_once_in_a_while() {
        let mut throttle = LogThrottle::every(Duration::from_secs(60), Clock::start());
        assert!(throttle.is_due());
        assert!(!throttle.is_due());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(throttle.is_due());
        assert!(!throttle.is_due());
    }
}
