//! How loaded an endpoint is: requests in flight and a moving average of the latency.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::time::Time;

/// How the moving average of the latency is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct EwmaParams {
    /// Time after which a sample has lost all but 1/e of its influence.
    pub decay: Duration,
    /// What an endpoint that has answered nothing yet is taken to need.
    pub default_rtt: Duration,
    /// What a failed request counts as at least.
    pub penalty: Duration,
}

impl Default for EwmaParams {
    fn default() -> EwmaParams {
        EwmaParams {
            decay: Duration::from_secs(10),
            default_rtt: Duration::from_millis(30),
            penalty: Duration::from_secs(5),
        }
    }
}

/// The load signals of one endpoint, shared by all workers.
///
/// The latency is a moving average in the logarithm, a geometric mean: of about the last
/// `SAMPLES` requests or, where they are fewer, of the last [`decay`](EwmaParams::decay). One
/// outlier hardly moves it, and a change of level, up or down, within a few requests. So neither
/// does one hiccup mark a machine for seconds, as a peak EWMA would, nor do old ones follow it
/// once it has recovered. The average and the time of its last sample live in one atomic word, so
/// an update is one compare-and-swap.
#[derive(Debug)]
#[repr(align(128))] // a cache line pair of its own: neighbours must not share its traffic
pub struct Load {
    in_flight: AtomicU32,
    picked_ms: AtomicU32,
    /// High half: the average in microseconds (f32), 0 before the first sample. Low half: the
    /// time of the last sample in milliseconds, wrapping.
    latency: AtomicU64,
}

/// Requests after which a sample has lost all but 1/e of its influence at the latest.
const SAMPLES: f32 = 32.0;

impl Load {
    /// No requests in flight, none heard of.
    pub fn new(now: Time) -> Load {
        Load {
            in_flight: AtomicU32::new(0),
            picked_ms: AtomicU32::new(wrapping_ms(now)),
            latency: AtomicU64::new(0),
        }
    }

    /// Requests dispatched and not yet over.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// One more request in flight.
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// One request less in flight.
    pub fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Notes that it was picked.
    #[inline]
    pub fn mark_picked(&self, now: Time) {
        let now = wrapping_ms(now);
        if self.picked_ms.load(Relaxed) != now {
            self.picked_ms.store(now, Relaxed);
        }
    }

    /// How long ago it was last picked, to the millisecond.
    #[inline]
    pub fn since_picked(&self, now: Time) -> Duration {
        Duration::from_millis(age_ms(now, self.picked_ms.load(Relaxed)).into())
    }

    /// The moving average of the latency, in seconds; the default when there is no sample yet.
    #[inline]
    pub fn ewma_seconds(&self, params: &EwmaParams) -> f64 {
        let (average, _) = unpack(self.latency.load(Relaxed));
        if average > 0.0 { f64::from(average) * 1e-6 } else { params.default_rtt.as_secs_f64() }
    }

    /// Whether any request has ended yet, well or not.
    #[inline]
    pub fn has_sample(&self) -> bool {
        unpack(self.latency.load(Relaxed)).0 > 0.0
    }

    /// Learns from a request that took `rtt` and did not fail.
    pub fn observe(&self, rtt: Duration, now: Time, params: &EwmaParams) {
        let rtt = micros(rtt).max(1.0);
        let step = |word| {
            let (average, at) = unpack(word);
            let next = if average > 0.0 {
                let kept = kept(now, at, params.decay);
                (average.ln() * kept + rtt.ln() * (1.0 - kept)).exp()
            } else {
                rtt
            };
            Some(pack(next, wrapping_ms(now)))
        };
        // The closure never refuses, so this cannot fail.
        let _ = self.latency.fetch_update(Relaxed, Relaxed, step);
    }

    /// Learns from a request that failed: it counts as `params.penalty` at least. One failure
    /// among many successes does not shut the endpoint out, a steady part of them does.
    pub fn observe_failure(&self, rtt: Duration, now: Time, params: &EwmaParams) {
        self.observe(rtt.max(params.penalty), now, params);
    }
}

/// The part of the average that is kept when a sample comes at `now`, the last having come `at`.
fn kept(now: Time, at: u32, decay: Duration) -> f32 {
    let age = age_ms(now, at) as f32;
    let by_time = (-age / (decay.as_secs_f32() * 1e3).max(1e-3)).exp();
    by_time.min(1.0 - 1.0 / SAMPLES)
}

/// Milliseconds from `at` to `now`; 0 when another worker's clock reading was a little ahead.
fn age_ms(now: Time, at: u32) -> u32 {
    let age = wrapping_ms(now).wrapping_sub(at);
    if age > u32::MAX / 2 { 0 } else { age }
}

fn wrapping_ms(time: Time) -> u32 {
    (time.as_millis() & u64::from(u32::MAX)) as u32
}

fn micros(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1e6
}

fn pack(cost: f32, stamp: u32) -> u64 {
    u64::from(cost.to_bits()) << 32 | u64::from(stamp)
}

fn unpack(word: u64) -> (f32, u32) {
    (f32::from_bits((word >> 32) as u32), word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn observe_ms(load: &Load, rtt: u64, now: u64) {
        load.observe(Duration::from_millis(rtt), at(now), &EwmaParams::default());
    }

    #[track_caller]
    fn assert_ms(load: &Load, expected: f64) {
        let ms = load.ewma_seconds(&EwmaParams::default()) * 1e3;
        assert!((ms / expected - 1.0).abs() < 1e-4, "{ms}");
    }

    #[test]
    fn before_the_first_sample_it_is_the_default() {
        let load = Load::new(at(0));
        assert!(!load.has_sample());
        assert_ms(&load, 30.0);
        observe_ms(&load, 1, 1);
        assert!(load.has_sample());
        assert_ms(&load, 1.0);
    }

    #[test]
    fn one_outlier_hardly_moves_it_and_a_new_level_does() {
        let load = Load::new(at(0));
        observe_ms(&load, 1, 1);
        observe_ms(&load, 100, 2);
        assert_ms(&load, 100f64.powf(1.0 / 32.0));
        for ms in 3..43 {
            observe_ms(&load, 10, ms);
        }
        let up = load.ewma_seconds(&EwmaParams::default());
        assert!((0.005..0.01).contains(&up), "{up}");
        for ms in 43..83 {
            observe_ms(&load, 1, ms);
        }
        let down = load.ewma_seconds(&EwmaParams::default());
        assert!((0.001..0.002).contains(&down), "as fast as it rose: {down}");
    }

    #[test]
    fn rare_samples_weigh_by_time() {
        let load = Load::new(at(0));
        observe_ms(&load, 1, 0);
        observe_ms(&load, 10, 10_000);
        assert_ms(&load, 10f64.powf(1.0 - (-1.0f64).exp()));
    }

    #[test]
    fn steady_failures_raise_it_and_one_does_not_shut_out() {
        let params = EwmaParams::default();
        let load = Load::new(at(0));
        observe_ms(&load, 10, 0);
        load.observe_failure(Duration::from_micros(100), at(1), &params);
        assert!(load.ewma_seconds(&params) < 0.013);
        for ms in 2..200 {
            load.observe_failure(Duration::from_micros(100), at(ms), &params);
        }
        assert!(load.ewma_seconds(&params) > 4.0);
    }

    #[test]
    fn a_clock_reading_from_before_is_no_age() {
        let load = Load::new(at(100));
        assert_eq!(load.since_picked(at(50)), Duration::ZERO);
        observe_ms(&load, 1, 100);
        observe_ms(&load, 100, 50);
        assert_ms(&load, 100f64.powf(1.0 / 32.0));
    }
}
