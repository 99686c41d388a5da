//! Load of an endpoint: calls in flight, open streams, and a moving average (EWMA) of latency.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::streams::OpenStreams;
use super::time::Time;

/// How an open exchange is counted, and by which count the next one is balanced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExchangeClass {
    /// A call owes one answer. Whatever is not a stream is a call.
    #[default]
    Call,
    /// A stream may be open for days, and costs by its messages.
    Stream,
}

/// Settings of the latency EWMA.
#[derive(Clone, Debug, PartialEq)]
pub struct EwmaParams {
    /// Time constant: after it a sample's weight has decayed to 1/e.
    pub decay: Duration,
    /// The latency assumed of an endpoint without samples.
    pub default_rtt: Duration,
    /// A failed request counts as at least this latency.
    pub penalty: Duration,
}

impl EwmaParams {
    /// The defaults.
    pub const fn defaults() -> EwmaParams {
        EwmaParams {
            decay: Duration::from_secs(10),
            default_rtt: Duration::from_millis(30),
            penalty: Duration::from_secs(5),
        }
    }
}

impl Default for EwmaParams {
    fn default() -> EwmaParams {
        EwmaParams::defaults()
    }
}

/// The load signals of one endpoint, shared by all workers.
///
/// The latency is an EWMA of logarithms, hence a geometric mean: over about the last `SAMPLES`
/// requests or, if fewer, the last [`decay`](EwmaParams::decay). A single outlier hardly moves it,
/// whereas a peak EWMA would avoid a machine for seconds after a hiccup. The first samples weigh
/// the same, so that a slow cold start is soon outweighed.
///
/// A run of samples far below the average (`FAR_BELOW`) indicates recovery: from the third on, each
/// weighs twice as much as the one before, so nine answers undo the failure penalty. (This is the
/// adaptive gain of Trigg and Leach, "Exponential Smoothing with an Adaptive Response Rate", in
/// steps, and downwards only: upwards, a momentary queue would do the same.)
///
/// The average and the time of its last sample share one atomic word, so an update is one
/// compare-and-swap. The run length is a separate atomic: losing an update of it is harmless.
#[derive(Debug)]
#[repr(align(128))] // a pair of cache lines, against false sharing
pub struct Load {
    calls: AtomicU32,
    picked_ms: AtomicU32,
    /// High half: the average in microseconds (f32), 0 before the first sample. Low half: the
    /// time of the last sample in milliseconds, wrapping.
    latency: AtomicU64,
    /// Number of samples so far, capped at [`SAMPLES`].
    samples: AtomicU32,
    /// Length of the current run of samples far below the average.
    run: AtomicU32,
    streams: OpenStreams,
}

/// The EWMA's window in samples: after this many a sample's weight has decayed to 1/e.
const SAMPLES: u32 = 32;

/// Samples from which on the average is meaningful.
const MIN_SAMPLES: u32 = 8;

/// A sample this many times below the average starts a run.
const FAR_BELOW: f32 = 2.0;

/// A run continues while samples are this many times below the average, which is where latencies no
/// longer differ clearly.
const STILL_BELOW: f32 = 1.5;

/// Run length from which on the weight no longer doubles; it has reached one half.
const MAX_RUN: u32 = 6;

impl Load {
    /// No load and no samples.
    pub fn new(now: Time) -> Load {
        Load {
            calls: AtomicU32::new(0),
            picked_ms: AtomicU32::new(wrapping_ms(now)),
            latency: AtomicU64::new(0),
            samples: AtomicU32::new(0),
            run: AtomicU32::new(0),
            streams: OpenStreams::default(),
        }
    }

    /// Calls in flight.
    #[inline]
    pub fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    /// Open streams.
    #[inline]
    pub fn streams(&self) -> &OpenStreams {
        &self.streams
    }

    /// Whether neither a call nor a stream is open.
    pub fn is_idle(&self) -> bool {
        self.calls() == 0 && self.streams.count() == 0
    }

    /// Counts an exchange in.
    pub fn begin(&self, class: ExchangeClass, now: Time) {
        match class {
            ExchangeClass::Call => {
                self.calls.fetch_add(1, Relaxed);
            }
            ExchangeClass::Stream => self.streams.begin(now),
        }
    }

    /// Counts a call in, if fewer than `limit` are in flight.
    pub fn try_begin_call(&self, limit: u32) -> bool {
        let more = |calls| (calls < limit).then(|| calls + 1);
        self.calls.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Counts an exchange out. `began` is when it was last counted in, under this class.
    pub fn end(&self, class: ExchangeClass, began: Time) {
        match class {
            ExchangeClass::Call => {
                self.calls.fetch_sub(1, Relaxed);
            }
            ExchangeClass::Stream => self.streams.end(began),
        }
    }

    /// Records the time of a pick.
    #[inline]
    pub fn mark_picked(&self, now: Time) {
        let now = wrapping_ms(now);
        if self.picked_ms.load(Relaxed) != now {
            self.picked_ms.store(now, Relaxed);
        }
    }

    /// Time since the last pick, with a resolution of milliseconds.
    #[inline]
    pub fn since_picked(&self, now: Time) -> Duration {
        Duration::from_millis(age_ms(now, self.picked_ms.load(Relaxed)).into())
    }

    /// Whether its last sample was far below the average, with no newer pick outstanding that could
    /// confirm it.
    #[inline]
    pub fn is_recovering(&self, now: Time) -> bool {
        let heard = unpack(self.latency.load(Relaxed)).1;
        let picked = self.picked_ms.load(Relaxed);
        self.run.load(Relaxed) > 0 && age_ms(now, heard) <= age_ms(now, picked)
    }

    /// Whether there are too few samples yet for the average to be meaningful.
    #[inline]
    pub fn is_new(&self) -> bool {
        self.samples.load(Relaxed) < MIN_SAMPLES
    }

    /// The latency EWMA in seconds; the default if there is no sample.
    #[inline]
    pub fn ewma_seconds(&self, params: &EwmaParams) -> f64 {
        let (average, _) = unpack(self.latency.load(Relaxed));
        if average > 0.0 { f64::from(average) * 1e-6 } else { params.default_rtt.as_secs_f64() }
    }

    /// Whether there is any sample, of a success or a failure.
    #[inline]
    pub fn has_sample(&self) -> bool {
        unpack(self.latency.load(Relaxed)).0 > 0.0
    }

    /// Records the latency of a request that did not fail.
    pub fn observe(&self, rtt: Duration, now: Time, params: &EwmaParams) {
        let rtt = micros(rtt).max(1.0);
        let gain = self.gain(rtt);
        let step = |word| {
            let (average, at) = unpack(word);
            let gain = gain.max(gain_of_age(age_ms(now, at), params.decay));
            let next = if average > 0.0 { average * (rtt / average).powf(gain) } else { rtt };
            Some(pack(next, wrapping_ms(now)))
        };
        // The closure always returns `Some`, so this cannot fail.
        let _ = self.latency.fetch_update(Relaxed, Relaxed, step);
    }

    /// Records a failed request, as at least `params.penalty`. One failure among many successes
    /// does not shut the endpoint out; a steady share of failures does.
    pub fn observe_failure(&self, rtt: Duration, now: Time, params: &EwmaParams) {
        self.observe(rtt.max(params.penalty), now, params);
    }

    /// Drops all samples: the process they came from is gone.
    pub fn forget(&self) {
        self.latency.store(0, Relaxed);
        self.samples.store(0, Relaxed);
        self.run.store(0, Relaxed);
    }

    /// The minimum weight of a sample of `rtt` microseconds, from the number of samples and the
    /// current run.
    fn gain(&self, rtt: f32) -> f32 {
        let (average, _) = unpack(self.latency.load(Relaxed));
        let samples = self.samples.load(Relaxed);
        if samples < SAMPLES {
            self.samples.store(samples + 1, Relaxed);
        }
        let one_of_all = 1.0 / (samples + 1).min(SAMPLES) as f32;
        let run = self.run.load(Relaxed);
        let below = if run > 0 { STILL_BELOW } else { FAR_BELOW };
        let next = if rtt * below < average { (run + 1).min(MAX_RUN) } else { 0 };
        if next != run {
            self.run.store(next, Relaxed);
        }
        let of_the_run = (1u32 << next.saturating_sub(2)) as f32 / SAMPLES as f32;
        one_of_all.max(of_the_run)
    }
}

/// The minimum weight of a sample by the time since the one before: exponential decay.
fn gain_of_age(age_ms: u32, decay: Duration) -> f32 {
    match age_ms {
        0 => 0.0,
        age => 1.0 - (-(age as f32) / (decay.as_secs_f32() * 1e3).max(1e-3)).exp(),
    }
}

/// Milliseconds from `at` to `now`; 0 if another worker's clock reading was slightly ahead.
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

    /// A load that has answered within a millisecond so often that one sample weighs little.
    fn warm(now: u64) -> Load {
        let load = Load::new(at(0));
        (0..SAMPLES).for_each(|_| observe_ms(&load, 1, now));
        load
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
    fn an_outlier_hardly_moves_it_and_a_new_level_does() {
        let load = warm(1);
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
        let load = warm(0);
        observe_ms(&load, 10, 10_000);
        assert_ms(&load, 10f64.powf(1.0 - (-1.0f64).exp()));
    }

    #[test]
    fn steady_failures_raise_it_and_one_does_not_shut_out() {
        let params = EwmaParams::default();
        let load = warm(0);
        load.observe_failure(Duration::from_micros(100), at(1), &params);
        assert!(load.ewma_seconds(&params) < 0.0014);
        for ms in 2..200 {
            load.observe_failure(Duration::from_micros(100), at(ms), &params);
        }
        assert!(load.ewma_seconds(&params) > 4.0);
    }

    #[test]
    fn a_clock_reading_from_before_is_no_age() {
        let load = Load::new(at(100));
        assert_eq!(load.since_picked(at(50)), Duration::ZERO);
        let load = warm(100);
        observe_ms(&load, 100, 50);
        assert_ms(&load, 100f64.powf(1.0 / 32.0));
    }

    #[test]
    fn a_cold_start_is_soon_outweighed_and_a_trouble_forgotten() {
        let load = Load::new(at(0));
        observe_ms(&load, 13, 1);
        (2..9).for_each(|ms| observe_ms(&load, 7, ms));
        assert_ms(&load, (13.0 * 7f64.powi(7)).powf(1.0 / 8.0));
        assert!(!load.is_new());
        load.forget();
        assert!(load.is_new() && !load.has_sample());

        let load = warm(1);
        (2..200).for_each(|ms| observe_ms(&load, 5_000, ms));
        (200..209).for_each(|ms| observe_ms(&load, 1, ms));
        let back = load.ewma_seconds(&EwmaParams::default());
        assert!(back < 0.0015, "{back}");
    }
}
