//! Results of requests, in the form in which outlier detection compares backends.

use std::ops::{AddAssign, Sub};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::outcome::HealthSignal;
use crate::stats::increment;

/// Bits of a logarithm's fraction.
const FRACTION_BITS: u32 = 8;

/// Results of requests since the start; the difference of two readings covers the time between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// Requests that succeeded as far as the backend is concerned, or failed by its fault.
    pub requests: u64,
    /// Those that failed by the backend's fault.
    pub faults: u64,
    /// Calls whose latency is known.
    pub calls: u64,
    /// The sum of the binary logarithms of their latencies in nanoseconds, in 256ths.
    log_latency: u64,
}

impl Results {
    /// The geometric mean of the calls' latencies. Unlike the arithmetic one it is not moved by a few
    /// very slow calls, and unlike a median it does not jump where slow and fast methods mix.
    pub fn mean_latency(&self) -> Option<Duration> {
        let log = self.log_latency as f64 / self.calls as f64 / f64::from(1 << FRACTION_BITS);
        (self.calls > 0).then(|| Duration::from_nanos(log.exp2() as u64))
    }

    /// The same with three quarters of the weight, so that later results count for more.
    #[must_use]
    pub fn faded(self) -> Results {
        let part = |count: u64| count - count / 4;
        // By the same factor as the calls, or the mean would move.
        let log = self.log_latency.checked_div(self.calls).unwrap_or_default();
        Results {
            requests: part(self.requests),
            faults: part(self.faults),
            calls: part(self.calls),
            log_latency: part(self.calls) * log,
        }
    }
}

impl AddAssign for Results {
    fn add_assign(&mut self, other: Results) {
        self.requests += other.requests;
        self.faults += other.faults;
        self.calls += other.calls;
        self.log_latency += other.log_latency;
    }
}

impl Sub for Results {
    type Output = Results;

    fn sub(self, earlier: Results) -> Results {
        Results {
            requests: self.requests.saturating_sub(earlier.requests),
            faults: self.faults.saturating_sub(earlier.faults),
            calls: self.calls.saturating_sub(earlier.calls),
            log_latency: self.log_latency.saturating_sub(earlier.log_latency),
        }
    }
}

/// Single-writer counters of one worker.
#[derive(Debug, Default)]
pub struct ResultCounters {
    requests: AtomicU64,
    faults: AtomicU64,
    calls: AtomicU64,
    log_latency: AtomicU64,
}

impl ResultCounters {
    /// Counts a request; the latency is that of a call that was answered.
    pub fn record(&self, signal: HealthSignal, latency: Option<Duration>) {
        increment(&self.requests);
        if signal == HealthSignal::Fault {
            increment(&self.faults);
        } else if let Some(latency) = latency {
            increment(&self.calls);
            let log = log2(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
            self.log_latency.store(self.log_latency.load(Relaxed).wrapping_add(log), Relaxed);
        }
    }

    /// The counts so far.
    pub fn read(&self) -> Results {
        Results {
            requests: self.requests.load(Relaxed),
            faults: self.faults.load(Relaxed),
            calls: self.calls.load(Relaxed),
            log_latency: self.log_latency.load(Relaxed),
        }
    }
}

/// The binary logarithm in 256ths, linear between powers of two: at most 6 % of the value off.
fn log2(value: u64) -> u64 {
    let value = value.max(1 << FRACTION_BITS);
    let whole = value.ilog2();
    (u64::from(whole) << FRACTION_BITS)
        + ((value >> (whole - FRACTION_BITS)) & ((1 << FRACTION_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(millis: &[u64]) -> f64 {
        let counters = ResultCounters::default();
        for millis in millis {
            counters.record(HealthSignal::Success, Some(Duration::from_millis(*millis)));
        }
        counters.read().mean_latency().map_or(0.0, |mean| mean.as_secs_f64() * 1e3)
    }

    #[test]
    fn the_mean_is_geometric() {
        assert_eq!(mean(&[]), 0.0);
        for (calls, expected) in [(&[10][..], 10.0), (&[1, 100], 10.0), (&[2, 3, 700, 900], 44.0)] {
            let mean = mean(calls);
            assert!((mean / expected - 1.0).abs() < 0.07, "{mean} for {expected}");
        }
        let one_slow: Vec<u64> = [60_000].into_iter().chain([10; 99]).collect();
        assert!(mean(&one_slow) < 12.0);
    }

    #[test]
    fn faults_have_no_latency() {
        let counters = ResultCounters::default();
        let early = counters.read();
        counters.record(HealthSignal::Fault, Some(Duration::from_secs(1)));
        counters.record(HealthSignal::Success, None);
        let results = counters.read() - early;
        assert_eq!((results.requests, results.faults, results.calls), (2, 1, 0));
        assert_eq!(results.mean_latency(), None);
    }
}
