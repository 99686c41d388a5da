//! The streams that are open to an endpoint: how many, since when, and how much is said on them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::time::Time;

/// The open streams of one endpoint, shared by all workers.
#[derive(Debug, Default)]
pub struct OpenStreams {
    count: AtomicU32,
    /// Messages of the endpoint a second (f32), of late.
    rate: AtomicU32,
    /// The sum of the times in milliseconds at which they began, wrapping.
    began_ms: AtomicU64,
}

impl OpenStreams {
    /// How many there are.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// Messages that the endpoint sends a second, on all of them together.
    #[inline]
    pub fn message_rate(&self) -> f64 {
        f64::from(f32::from_bits(self.rate.load(Relaxed)))
    }

    /// Sets the rate of messages.
    pub fn set_message_rate(&self, per_second: f64) {
        self.rate.store((per_second as f32).to_bits(), Relaxed);
    }

    /// How long they have been open on average, if there are any.
    pub fn mean_age(&self, now: Time) -> Option<Duration> {
        let count = u64::from(self.count());
        let all = now.as_millis().wrapping_mul(count).wrapping_sub(self.began_ms.load(Relaxed));
        // Of two counters that are read one after the other, one may be ahead.
        let all = if all > u64::MAX / 2 { 0 } else { all };
        (count > 0).then(|| Duration::from_millis(all / count))
    }

    pub(super) fn begin(&self, now: Time) {
        self.count.fetch_add(1, Relaxed);
        self.began_ms.fetch_add(now.as_millis(), Relaxed);
    }

    pub(super) fn end(&self, began: Time) {
        self.count.fetch_sub(1, Relaxed);
        self.began_ms.fetch_sub(began.as_millis(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn the_age_is_the_mean_of_those_that_are_open() {
        let streams = OpenStreams::default();
        assert_eq!(streams.mean_age(at(5)), None);
        streams.begin(at(1_000));
        streams.begin(at(3_000));
        assert_eq!(streams.mean_age(at(4_000)), Some(Duration::from_secs(2)));
        streams.end(at(1_000));
        assert_eq!(
            (streams.count(), streams.mean_age(at(4_000))),
            (1, Some(Duration::from_secs(1)))
        );
        assert_eq!(streams.mean_age(at(2_000)), Some(Duration::ZERO), "another clock");
    }
}
