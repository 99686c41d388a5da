//! How loaded an endpoint is: requests in flight and a peak-sensitive moving average of latency.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::time::Time;

/// How the latency estimate is kept.
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
/// The estimate is Finagle's peak EWMA (`PeakEwma.scala`): a sample above the estimate, or the
/// first, replaces it at once, one below is averaged in, and it decays while nothing is heard.
/// Its value and the time it was written live in one atomic word, so an update is one
/// compare-and-swap.
///
/// A peak is quick to warn and easily alarmed: one hiccup of a machine marks it for seconds. So
/// there is a second opinion, the geometric mean of about the last `TYPICAL_SAMPLES` requests,
/// which one outlier hardly moves and a change of level moves within a few.
#[derive(Debug)]
#[repr(align(128))] // a cache line pair of its own: neighbours must not share its traffic
pub struct Load {
    in_flight: AtomicU32,
    picked_ms: AtomicU32,
    /// High half: the estimate in microseconds (f32). Low half: milliseconds, wrapping.
    estimate: AtomicU64,
    /// The geometric mean in microseconds (f32); 0 before the first sample.
    typical: AtomicU32,
}

/// Requests after which a sample has lost all but 1/e of its influence on the geometric mean.
const TYPICAL_SAMPLES: f32 = 32.0;

impl Load {
    /// No requests in flight; the estimate starts at `default_rtt`.
    pub fn new(default_rtt: Duration, now: Time) -> Load {
        Load {
            in_flight: AtomicU32::new(0),
            picked_ms: AtomicU32::new(wrapping_ms(now)),
            estimate: AtomicU64::new(pack(micros(default_rtt), wrapping_ms(now))),
            typical: AtomicU32::new(0),
        }
    }

    /// Requests dispatched and not yet over.
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
    pub fn mark_picked(&self, now: Time) {
        let now = wrapping_ms(now);
        if self.picked_ms.load(Relaxed) != now {
            self.picked_ms.store(now, Relaxed);
        }
    }

    /// How long ago it was last picked, to the millisecond.
    pub fn since_picked(&self, now: Time) -> Duration {
        Duration::from_millis(age_ms(now, self.picked_ms.load(Relaxed)).into())
    }

    /// The latency estimate, decayed to `now`, in seconds.
    pub fn ewma_seconds(&self, now: Time, params: &EwmaParams) -> f64 {
        let (cost, at) = unpack(self.estimate.load(Relaxed));
        f64::from(cost * weight(now, at, params.decay)) / 1e6
    }

    /// The geometric mean of the last latencies, in seconds; the default when there is none yet.
    pub fn typical_seconds(&self, params: &EwmaParams) -> f64 {
        let typical = f32::from_bits(self.typical.load(Relaxed));
        if typical > 0.0 { f64::from(typical) / 1e6 } else { params.default_rtt.as_secs_f64() }
    }

    /// Whether any request has ended yet, well or not.
    pub fn has_sample(&self) -> bool {
        self.typical.load(Relaxed) != 0
    }

    /// Learns from a request that took `rtt` and did not fail.
    pub fn observe(&self, rtt: Duration, now: Time, params: &EwmaParams) {
        let rtt = micros(rtt);
        let first = self.update_typical(rtt, now, params);
        self.update(
            now,
            params,
            |cost, w| {
                if first || rtt > cost { rtt } else { blend(cost, rtt, w) }
            },
        );
    }

    /// Learns from a request that failed: it counts as `params.penalty` at least, averaged in
    /// rather than taken as a peak, so that the estimate follows the rate of failures and one
    /// failure among many successes does not shut the endpoint out.
    pub fn observe_failure(&self, rtt: Duration, now: Time, params: &EwmaParams) {
        let rtt = micros(rtt.max(params.penalty));
        self.update_typical(rtt, now, params);
        self.update(now, params, |cost, w| blend(cost, rtt, w.min(0.999)));
    }

    /// Averages in the logarithm. Two workers at once may lose one of their samples, which does
    /// not matter; it saves a second locked instruction. Goes before `update`, which moves the
    /// time of the last sample. Says whether the sample was the first.
    fn update_typical(&self, rtt: f32, now: Time, params: &EwmaParams) -> bool {
        let rtt = rtt.max(1.0);
        let typical = f32::from_bits(self.typical.load(Relaxed));
        let next = if typical > 0.0 {
            let (_, at) = unpack(self.estimate.load(Relaxed));
            let w = weight(now, at, params.decay).min(1.0 - 1.0 / TYPICAL_SAMPLES);
            blend(typical.ln(), rtt.ln(), w).exp()
        } else {
            rtt
        };
        self.typical.store(next.to_bits(), Relaxed);
        typical == 0.0
    }

    fn update(&self, now: Time, params: &EwmaParams, next: impl Fn(f32, f32) -> f32) {
        let stamp = wrapping_ms(now);
        let step = |word| {
            let (cost, at) = unpack(word);
            Some(pack(next(cost, weight(now, at, params.decay)), stamp))
        };
        // The closure never refuses, so this cannot fail.
        let _ = self.estimate.fetch_update(Relaxed, Relaxed, step);
    }
}

fn blend(cost: f32, sample: f32, w: f32) -> f32 {
    cost * w + sample * (1.0 - w)
}

fn weight(now: Time, at: u32, decay: Duration) -> f32 {
    let age = age_ms(now, at);
    if age == 0 { 1.0 } else { (-(age as f32) / (decay.as_secs_f32() * 1e3).max(1e-3)).exp() }
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

    #[test]
    fn a_peak_replaces_and_a_valley_is_averaged() {
        let params = EwmaParams::default();
        let load = Load::new(params.default_rtt, at(0));
        load.observe(Duration::from_millis(5), at(1), &params);
        assert!((load.ewma_seconds(at(1), &params) - 0.005).abs() < 1e-6, "the first");
        load.observe(Duration::from_millis(100), at(1), &params);
        assert!((load.ewma_seconds(at(1), &params) - 0.1).abs() < 1e-6);
        load.observe(Duration::from_millis(10), at(10_001), &params);
        let w = (-1.0f64).exp();
        let expected = 0.1 * w + 0.01 * (1.0 - w);
        assert!((load.ewma_seconds(at(10_001), &params) - expected).abs() < 1e-5);
    }

    #[test]
    fn one_outlier_hardly_moves_the_typical_latency_and_a_new_level_does() {
        let params = EwmaParams::default();
        let load = Load::new(params.default_rtt, at(0));
        assert!((load.typical_seconds(&params) - 0.03).abs() < 1e-6);
        load.observe(Duration::from_millis(1), at(1), &params);
        assert!((load.typical_seconds(&params) - 0.001).abs() < 1e-6);
        load.observe(Duration::from_millis(100), at(2), &params);
        assert!(load.typical_seconds(&params) < 0.0012);
        for ms in 3..13 {
            load.observe(Duration::from_millis(10), at(ms), &params);
        }
        assert!(load.typical_seconds(&params) > 0.0018);
    }

    #[test]
    fn silence_decays_the_estimate() {
        let params = EwmaParams::default();
        let load = Load::new(params.default_rtt, at(0));
        let expected = 0.03 * (-1.0f64).exp();
        assert!((load.ewma_seconds(at(10_000), &params) - expected).abs() < 1e-6);
    }

    #[test]
    fn steady_failures_raise_the_estimate_and_one_does_not_shut_out() {
        let params = EwmaParams::default();
        let load = Load::new(params.default_rtt, at(0));
        load.observe_failure(Duration::from_micros(100), at(1), &params);
        assert!(load.ewma_seconds(at(1), &params) < 0.05);
        for ms in 2..1000 {
            load.observe_failure(Duration::from_micros(100), at(ms), &params);
        }
        assert!(load.ewma_seconds(at(1000), &params) > 0.4);
    }

    #[test]
    fn a_clock_reading_from_before_does_not_decay_anything() {
        let params = EwmaParams::default();
        let load = Load::new(params.default_rtt, at(100));
        assert!((load.ewma_seconds(at(50), &params) - 0.03).abs() < 1e-6);
        assert_eq!(load.since_picked(at(50)), Duration::ZERO);
    }
}
