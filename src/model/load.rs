//! How loaded an endpoint is: calls and streams that are open, and a moving average of the latency.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::streams::OpenStreams;
use super::time::Time;

/// What an open exchange owes: how it is counted, and by what the next one is balanced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExchangeClass {
    /// An answer. All but streams are calls.
    #[default]
    Call,
    /// Nothing: it may be open for days, and costs by what is said on it.
    Stream,
}

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

impl EwmaParams {
    /// As it is kept unless told otherwise.
    pub const fn usual() -> EwmaParams {
        EwmaParams {
            decay: Duration::from_secs(10),
            default_rtt: Duration::from_millis(30),
            penalty: Duration::from_secs(5),
        }
    }
}

impl Default for EwmaParams {
    fn default() -> EwmaParams {
        EwmaParams::usual()
    }
}

/// The load signals of one endpoint, shared by all workers.
///
/// The latency is a moving average in the logarithm, a geometric mean: of about the last
/// `SAMPLES` requests or, where they are fewer, of the last [`decay`](EwmaParams::decay). One
/// outlier hardly moves it, so a hiccup does not mark a machine for seconds, as a peak EWMA
/// would. The first samples weigh the same, so that one from a cold start is soon outweighed.
/// Samples in a row that are far below the average (`FAR`) say that a trouble is over: from the
/// third on each weighs twice as much as the one before (the adaptive gain of Trigg and Leach,
/// "Exponential Smoothing with an Adaptive Response Rate", in steps and to one side: up, a queue
/// that builds for a moment would do the same). So nine answers bring an endpoint back from the
/// penalty.
///
/// The average and the time of its last sample live in one atomic word, so an update is one
/// compare-and-swap. The length of the run stands beside it: a lost update of that costs nothing.
#[derive(Debug)]
#[repr(align(128))] // a cache line pair of its own: neighbours must not share its traffic
pub struct Load {
    calls: AtomicU32,
    picked_ms: AtomicU32,
    /// High half: the average in microseconds (f32), 0 before the first sample. Low half: the
    /// time of the last sample in milliseconds, wrapping.
    latency: AtomicU64,
    /// Samples so far, up to [`SAMPLES`].
    samples: AtomicU32,
    /// Samples in a row far below the average.
    run: AtomicU32,
    streams: OpenStreams,
}

/// Requests after which a sample has lost all but 1/e of its influence at the latest.
const SAMPLES: u32 = 32;

/// Samples after which an endpoint is known.
const ENOUGH: u32 = 8;

/// A sample that is so many times below the average may be of a new level.
const FAR: f32 = 2.0;

/// Once it has begun, a run goes on with samples that are so many times below: to where latencies
/// no longer differ clearly.
const STILL_BELOW: f32 = 1.5;

/// Samples of a run after which the weight doubles no more: it is a half then.
const LONGEST_RUN: u32 = 6;

impl Load {
    /// Nothing open, nothing heard of.
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

    /// Calls dispatched and not yet over.
    #[inline]
    pub fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    /// The streams that are open.
    #[inline]
    pub fn streams(&self) -> &OpenStreams {
        &self.streams
    }

    /// Whether neither a call nor a stream is open.
    pub fn is_idle(&self) -> bool {
        self.calls() == 0 && self.streams.count() == 0
    }

    /// One more exchange is open.
    pub fn begin(&self, class: ExchangeClass, now: Time) {
        match class {
            ExchangeClass::Call => {
                self.calls.fetch_add(1, Relaxed);
            }
            ExchangeClass::Stream => self.streams.begin(now),
        }
    }

    /// One exchange, which is of this class now and was one of `began` when its class was last
    /// said, is over.
    pub fn end(&self, class: ExchangeClass, began: Time) {
        match class {
            ExchangeClass::Call => {
                self.calls.fetch_sub(1, Relaxed);
            }
            ExchangeClass::Stream => self.streams.end(began),
        }
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

    /// Whether its last answer was far better than the average says, and none is waited for that
    /// tells more.
    #[inline]
    pub fn is_recovering(&self, now: Time) -> bool {
        let heard = unpack(self.latency.load(Relaxed)).1;
        let picked = self.picked_ms.load(Relaxed);
        self.run.load(Relaxed) > 0 && age_ms(now, heard) <= age_ms(now, picked)
    }

    /// Whether it has answered too little yet for the average to mean much.
    #[inline]
    pub fn is_new(&self) -> bool {
        self.samples.load(Relaxed) < ENOUGH
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
        let gain = self.gain(rtt);
        let step = |word| {
            let (average, at) = unpack(word);
            let gain = gain.max(gain_of_age(age_ms(now, at), params.decay));
            let next = if average > 0.0 { average * (rtt / average).powf(gain) } else { rtt };
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

    /// Forgets every sample: they are of a process that is gone.
    pub fn forget(&self) {
        self.latency.store(0, Relaxed);
        self.samples.store(0, Relaxed);
        self.run.store(0, Relaxed);
    }

    /// What a sample of `rtt` microseconds weighs at least, by how many there were and by the run
    /// that it belongs to.
    fn gain(&self, rtt: f32) -> f32 {
        let (average, _) = unpack(self.latency.load(Relaxed));
        let samples = self.samples.load(Relaxed);
        if samples < SAMPLES {
            self.samples.store(samples + 1, Relaxed);
        }
        let one_of_all = 1.0 / (samples + 1).min(SAMPLES) as f32;
        let run = self.run.load(Relaxed);
        let below = if run > 0 { STILL_BELOW } else { FAR };
        let next = if rtt * below < average { (run + 1).min(LONGEST_RUN) } else { 0 };
        if next != run {
            self.run.store(next, Relaxed);
        }
        let of_the_run = (1u32 << next.saturating_sub(2)) as f32 / SAMPLES as f32;
        one_of_all.max(of_the_run)
    }
}

/// What a sample weighs that comes so long after the last one.
fn gain_of_age(age_ms: u32, decay: Duration) -> f32 {
    match age_ms {
        0 => 0.0,
        age => 1.0 - (-(age as f32) / (decay.as_secs_f32() * 1e3).max(1e-3)).exp(),
    }
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
    fn one_outlier_hardly_moves_it_and_a_new_level_does() {
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
