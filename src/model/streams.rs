//! Gauges of an endpoint's open streams: number, mean age, message rate.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::time::Time;

/// The open streams of one endpoint, shared by all workers.
#[derive(Debug, Default)]
pub struct OpenStreams {
    count: AtomicU32,
    /// Messages per second sent by the endpoint recently (f32 bits).
    rate: AtomicU32,
    /// Sum of their start times in milliseconds, wrapping; gives the mean age in constant space.
    began_ms: AtomicU64,
}

impl OpenStreams {
    /// The number of open streams.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// Messages per second that the endpoint sends, over all streams.
    #[inline]
    pub fn message_rate(&self) -> f64 {
        f64::from(f32::from_bits(self.rate.load(Relaxed)))
    }

    /// Sets the message rate.
    pub fn set_message_rate(&self, per_second: f64) {
        self.rate.store((per_second as f32).to_bits(), Relaxed);
    }

    /// The mean age of the open streams, if there are any.
    pub fn mean_age(&self, now: Time) -> Option<Duration> {
        let count = u64::from(self.count());
        let all = now.as_millis().wrapping_mul(count).wrapping_sub(self.began_ms.load(Relaxed));
        // Two counters that are read one after the other may disagree; the difference may be
        // negative.
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
