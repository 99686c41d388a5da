//! Monotonic time since a start.
//!
//! The composition root starts one [`Clock`] and passes it to everything that needs the time; pure
//! code is passed a [`Time`]. It follows tokio's timer clock, at the cost of std's: in a runtime
//! with paused time a whole gateway runs in virtual time.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::model::Time;

/// The clock. Copies share one epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// The time now; monotonic.
    pub fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Sleeps until then.
    pub fn sleep_until(&self, time: Time) -> tokio::time::Sleep {
        tokio::time::sleep(time.since(self.now()))
    }
}

/// The wall-clock time as Unix seconds: for display, never to measure with.
pub fn unix_seconds() -> f64 {
    wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The wall-clock time: for display, never to measure with.
#[expect(clippy::disallowed_methods)] // the only source of wall-clock time
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Throttles a repeated log message.
#[derive(Debug)]
pub struct LogThrottle {
    clock: Clock,
    every: Duration,
    next: Time,
}

impl LogThrottle {
    /// Due at once, and then at most once each interval.
    pub fn every(every: Duration, clock: Clock) -> LogThrottle {
        LogThrottle { clock, every, next: Time::ZERO }
    }

    /// Whether the message may be logged now; if so, starts the next interval.
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
    async fn the_clock_follows_paused_time() {
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
