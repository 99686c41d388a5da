//! What one worker counts about one endpoint, and the sum over workers.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::histogram::{Counts, Histogram};
use super::outcome::{Class, Code, GRPC_CODES, GrpcCode, Protocol};

const HTTP_STATUSES: usize = 500; // 100..=599

/// Counters that one worker writes and any thread reads: an increment is a plain load and store.
#[derive(Debug, Default)]
pub struct WorkerStats {
    duration: Histogram,
    start: Histogram,
    grpc: [AtomicU64; 17],
    http2: OnceLock<Box<[AtomicU64]>>, // most backends speak gRPC alone
}

impl WorkerStats {
    /// Counts a request that is over: its code and, unless the client gave up, how long it took
    /// to the last byte.
    pub fn record(&self, code: Code, duration: Duration) {
        if code.class() != Class::Cancelled {
            self.duration.record(duration);
        }
        match code {
            Code::Grpc(code) => increment(&self.grpc[code as usize]),
            Code::Http(status) => {
                let counts = self
                    .http2
                    .get_or_init(|| (0..HTTP_STATUSES).map(|_| AtomicU64::new(0)).collect());
                let index = usize::from(status).saturating_sub(100).min(HTTP_STATUSES - 1);
                increment(&counts[index]);
            }
        }
    }

    /// Counts the time to a response head.
    pub fn record_start(&self, start: Duration) {
        self.start.record(start);
    }

    /// Adds these counts to `totals`.
    pub fn add_to(&self, totals: &mut StatTotals) {
        self.duration.add_to(&mut totals.duration);
        self.start.add_to(&mut totals.start);
        for (sum, count) in totals.grpc.iter_mut().zip(&self.grpc) {
            *sum += count.load(Relaxed);
        }
        if let Some(counts) = self.http2.get() {
            totals.http2.resize(HTTP_STATUSES, 0);
            for (sum, count) in totals.http2.iter_mut().zip(counts.iter()) {
                *sum += count.load(Relaxed);
            }
        }
    }

    /// All requests that are over.
    pub fn requests(&self) -> u64 {
        let http2 = self.http2.get().map_or(&[][..], |counts| counts);
        self.grpc.iter().chain(http2).map(|count| count.load(Relaxed)).sum()
    }
}

/// Adds one to a counter with one writer, so no read-modify-write instruction is needed.
pub(crate) fn increment(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

/// An endpoint's counts over all workers since the start.
#[derive(Clone, Debug, Default)]
pub struct StatTotals {
    /// Time to the last byte.
    pub duration: Counts,
    /// Time to the response head.
    pub start: Counts,
    grpc: [u64; 17],
    http2: Vec<u64>,
}

impl StatTotals {
    /// Every code that occurred, with its count.
    pub fn codes(&self) -> impl Iterator<Item = (Protocol, Code, u64)> + '_ {
        let grpc = GRPC_CODES.iter().zip(&self.grpc);
        let grpc = grpc.map(|(code, n)| (Protocol::Grpc, Code::Grpc(*code), *n));
        let http = (100u16..).zip(&self.http2);
        let http = http.map(|(status, n)| (Protocol::Http2, Code::Http(status), *n));
        grpc.chain(http).filter(|(_, _, n)| *n > 0)
    }

    /// All requests that are over.
    pub fn requests(&self) -> u64 {
        self.codes().map(|(_, _, n)| n).sum()
    }

    /// Requests that succeeded and that failed; those that the client gave up are in neither.
    pub fn success_failure(&self) -> (u64, u64) {
        self.codes().fold((0, 0), |(good, bad), (_, code, n)| match code.class() {
            Class::Success => (good + n, bad),
            Class::Failure => (good, bad + n),
            Class::Cancelled => (good, bad),
        })
    }

    /// Requests with this gRPC code.
    pub fn grpc(&self, code: GrpcCode) -> u64 {
        self.grpc[code as usize]
    }
}
