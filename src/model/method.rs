//! Statistics of one method of a service.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::outcome::{Class, Code, GRPC_CODES, GrpcCode};
use super::worker_stats::StatTotals;
use crate::stats::{CoarseHistogram, HistogramCounts, increment, of_worker};

/// Counters and durations of the exchanges of one gRPC method.
#[derive(Debug)]
pub struct MethodStats {
    name: Box<str>,
    /// One shard a worker, allocated lazily; most methods are not called on all workers.
    workers: Box<[OnceLock<Box<Cells>>]>,
}

/// One worker's shard.
#[derive(Debug, Default)]
#[repr(align(128))] // a pair of cache lines, against false sharing
struct Cells {
    codes: [AtomicU64; GRPC_CODES.len()],
    streams: AtomicU64,
    cut: AtomicU64,
    duration: CoarseHistogram,
}

impl MethodStats {
    /// No statistics yet, for this many workers.
    pub fn new(name: &str, workers: usize) -> MethodStats {
        let workers = (0..workers.max(1)).map(|_| OnceLock::new()).collect();
        MethodStats { name: name.into(), workers }
    }

    /// The method's name, such as `shop.Orders/Get`.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn cells(&self, worker: usize) -> &Cells {
        of_worker(&self.workers, worker).get_or_init(Box::default)
    }

    /// Counts an ended call: its code and, unless cancelled, its duration. Only worker `worker` may
    /// pass its number.
    pub fn record_call(&self, worker: usize, code: GrpcCode, duration: Duration) {
        let cells = self.cells(worker);
        increment(&cells.codes[code as usize]);
        if Code::Grpc(code).class() != Class::Cancelled {
            cells.duration.record(duration);
        }
    }

    /// Counts an ended stream. Its duration is not a latency. Only worker `worker` may pass its
    /// number.
    pub fn record_stream(&self, worker: usize, code: GrpcCode) {
        let cells = self.cells(worker);
        increment(&cells.codes[code as usize]);
        increment(&cells.streams);
    }

    /// Counts a likely stream that was cut by a route's timeout. Only worker `worker` may pass its
    /// number.
    pub fn record_cut(&self, worker: usize) {
        increment(&self.cells(worker).cut);
    }

    fn used(&self) -> impl Iterator<Item = &Cells> {
        self.workers.iter().filter_map(|cells| cells.get().map(|cells| &**cells))
    }

    /// Codes of all ended calls and streams.
    pub fn codes(&self) -> StatTotals {
        let mut totals = StatTotals::default();
        self.used().for_each(|cells| totals.add_grpc(&cells.codes));
        totals
    }

    /// Ended streams.
    pub fn streams(&self) -> u64 {
        self.used().map(|cells| cells.streams.load(Relaxed)).sum()
    }

    /// Likely streams that were cut by a route's timeout.
    pub fn cut(&self) -> u64 {
        self.used().map(|cells| cells.cut.load(Relaxed)).sum()
    }

    /// Adds the durations of its calls to `totals`.
    pub fn add_durations_to(&self, totals: &mut HistogramCounts) {
        self.used().for_each(|cells| cells.duration.add_to(totals));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_streams_are_added_up_over_workers() {
        let stats = MethodStats::new("shop.Orders/Get", 2);
        stats.record_call(0, GrpcCode::Ok, Duration::from_millis(2));
        stats.record_call(1, GrpcCode::Internal, Duration::from_millis(3));
        stats.record_call(1, GrpcCode::Cancelled, Duration::from_secs(9));
        stats.record_stream(1, GrpcCode::Ok);
        let codes = stats.codes();
        let of = |code| codes.grpc(code);
        assert_eq!((of(GrpcCode::Ok), of(GrpcCode::Internal), of(GrpcCode::Cancelled)), (2, 1, 1));
        stats.record_cut(0);
        stats.record_cut(1);
        assert_eq!((stats.streams(), stats.cut(), codes.requests()), (1, 2, 4));
        let mut durations = HistogramCounts::default();
        stats.add_durations_to(&mut durations);
        assert_eq!((durations.count(), durations.sum), (2, 5_000_000));
    }
}
