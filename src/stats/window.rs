//! Sliding window of an endpoint's statistics over the last 30 seconds.

use std::collections::VecDeque;

use super::histogram::HistogramCounts;
use super::streams::StreamTotals;

const PUSHES_PER_SLOT: u32 = 3;
const SLOTS: usize = 10;

/// A ring of snapshots of an endpoint's totals: ten slots of three seconds, if totals are pushed
/// once a second. Its memory is bounded: 18 KiB for each decade of latencies in use.
#[derive(Debug)]
pub struct Window {
    /// Snapshots at the slot boundaries, oldest first.
    snapshots: VecDeque<Reading>,
    latest: Reading,
    pushes_in_slot: u32,
    message_rate: f64,
}

/// Statistics of a window; values are `None` when there is nothing to compute them from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowStats {
    /// Requests that ended.
    pub requests: u64,
    /// Successful requests.
    pub succeeded: u64,
    /// Failed requests; cancelled ones are in neither.
    pub failed: u64,
    /// Successful / (successful + failed); cancelled requests do not count.
    pub success_ratio: Option<f64>,
    /// Median latency to the last byte, in seconds.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// Streams opened per second.
    pub streams_opened: f64,
    /// Streams ended per second.
    pub streams_ended: f64,
    /// Messages on streams per second, both directions.
    pub stream_messages: f64,
}

/// A snapshot of totals.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Latency to the last byte, of calls.
    pub duration: HistogramCounts,
    /// Requests that ended.
    pub requests: u64,
    /// Successful requests.
    pub success: u64,
    /// Failed requests.
    pub failure: u64,
    /// Totals of streams.
    pub streams: StreamTotals,
}

impl Default for Window {
    fn default() -> Window {
        let mut snapshots = VecDeque::with_capacity(SLOTS + 2);
        snapshots.push_back(Reading::default());
        Window { snapshots, latest: Reading::default(), pushes_in_slot: 0, message_rate: 0.0 }
    }
}

impl Window {
    /// The interval at which totals are to be pushed.
    pub const PUSH_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

    /// Advances the window with new `totals`.
    pub fn push(&mut self, totals: Reading) {
        let [_, responses] = totals.streams.since(&self.latest.streams).messages;
        self.message_rate = responses as f64 / Window::PUSH_INTERVAL.as_secs_f64();
        self.latest = totals;
        self.pushes_in_slot += 1;
        if self.pushes_in_slot == PUSHES_PER_SLOT {
            self.pushes_in_slot = 0;
            self.snapshots.push_back(self.latest.clone());
            if self.snapshots.len() > SLOTS + 1 {
                self.snapshots.pop_front();
            }
        }
    }

    /// Statistics from the oldest snapshot to the newest.
    pub fn stats(&self) -> WindowStats {
        let Some(oldest) = self.snapshots.front() else {
            return WindowStats::default();
        };
        let duration = self.latest.duration.since(&oldest.duration);
        let success = self.latest.success.wrapping_sub(oldest.success);
        let failure = self.latest.failure.wrapping_sub(oldest.failure);
        let decided = success + failure;
        let streams = self.latest.streams.since(&oldest.streams);
        let per_second = |count: u64| count as f64 / self.seconds();
        WindowStats {
            requests: self.latest.requests.wrapping_sub(oldest.requests),
            succeeded: success,
            failed: failure,
            success_ratio: (decided > 0).then(|| success as f64 / decided as f64),
            p50: duration.quantile(0.5),
            p90: duration.quantile(0.9),
            p99: duration.quantile(0.99),
            p999: duration.quantile(0.999),
            streams_opened: per_second(streams.opened),
            streams_ended: per_second(streams.ended),
            stream_messages: per_second(streams.messages.iter().sum()),
        }
    }

    /// The window's length in seconds, at least one.
    fn seconds(&self) -> f64 {
        let slots = self.snapshots.len().saturating_sub(1) as f64;
        let pushes = slots * f64::from(PUSHES_PER_SLOT) + f64::from(self.pushes_in_slot);
        pushes.max(1.0) * Window::PUSH_INTERVAL.as_secs_f64()
    }

    /// Messages per second sent to clients on streams, over the last push interval.
    pub fn message_rate(&self) -> f64 {
        self.message_rate
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Code, GrpcCode, StatTotals, WorkerStats};

    fn push(window: &mut Window, stats: &WorkerStats) {
        let mut totals = StatTotals::default();
        stats.add_codes_to(&mut totals);
        stats.add_durations_to(&mut totals.duration);
        window.push(totals.into());
    }

    #[test]
    fn has_no_ratio_and_no_quantile_without_requests() {
        let (mut window, stats) = (Window::default(), WorkerStats::default());
        assert_eq!(window.stats(), WindowStats::default());
        push(&mut window, &stats);
        assert_eq!(window.stats(), WindowStats::default());
    }

    #[test]
    fn counts_failures_and_leaves_cancelled_requests_out_of_the_ratio() {
        let (mut window, stats) = (Window::default(), WorkerStats::default());
        let took = Duration::from_millis(10);
        for (code, n) in [(GrpcCode::Ok, 3), (GrpcCode::Unavailable, 1), (GrpcCode::Cancelled, 4)] {
            (0..n).for_each(|_| stats.record_call(Code::Grpc(code), took));
        }
        push(&mut window, &stats);
        let seen = window.stats();
        assert_eq!((seen.requests, seen.success_ratio), (8, Some(0.75)));
        for quantile in [seen.p50, seen.p90, seen.p99, seen.p999] {
            assert!((quantile.unwrap() - 0.01).abs() < 0.0001, "{quantile:?}");
        }
    }

    #[test]
    fn forgets_after_thirty_seconds_and_not_before() {
        let (mut window, stats) = (Window::default(), WorkerStats::default());
        stats.record_call(Code::Grpc(GrpcCode::Internal), Duration::from_secs(1));
        for second in 1..=32 {
            push(&mut window, &stats);
            assert_eq!(window.stats().requests, 1, "after {second} s");
        }
        stats.record_call(Code::Grpc(GrpcCode::Ok), Duration::from_millis(1));
        push(&mut window, &stats);
        let seen = window.stats();
        assert_eq!((seen.requests, seen.success_ratio), (1, Some(1.0)));
        assert!(seen.p99.unwrap() < 0.002);
    }

    #[test]
    fn memory_is_fixed() {
        let (mut window, stats) = (Window::default(), WorkerStats::default());
        (0..1000).for_each(|_| push(&mut window, &stats));
        assert_eq!(window.snapshots.len(), SLOTS + 1);
    }
}
