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

    /// Adds the counts of durations to `totals`.
    pub fn add_times_to(&self, totals: &mut StatTotals) {
        self.duration.add_to(&mut totals.duration);
        self.start.add_to(&mut totals.start);
    }

    /// Adds the counts of codes to `totals`.
    pub fn add_codes_to(&self, totals: &mut StatTotals) {
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
        let http = http.map(|(status, n)| (Protocol::Http, Code::Http(status), *n));
        grpc.chain(http).filter(|(_, _, n)| *n > 0)
    }

    /// The counts of all codes, whether they occurred or not.
    fn cells(&mut self) -> impl Iterator<Item = (Protocol, Code, &mut u64)> {
        let grpc = GRPC_CODES.iter().zip(&mut self.grpc);
        let grpc = grpc.map(|(code, n)| (Protocol::Grpc, Code::Grpc(*code), n));
        let http = (100u16..).zip(&mut self.http2);
        grpc.chain(http.map(|(status, n)| (Protocol::Http, Code::Http(status), n)))
    }

    /// Adds what `other` has counted.
    pub fn add(&mut self, other: &StatTotals) {
        self.duration.add(&other.duration);
        self.start.add(&other.start);
        self.http2.resize(self.http2.len().max(other.http2.len()), 0);
        let counts = other.grpc.iter().zip(&mut self.grpc);
        for (count, sum) in counts.chain(other.http2.iter().zip(&mut self.http2)) {
            *sum += count;
        }
    }

    /// What was counted since `earlier` was read.
    pub fn since(&self, earlier: &StatTotals) -> StatTotals {
        let mut diff = self.clone();
        diff.duration = self.duration.since(&earlier.duration);
        diff.start = self.start.since(&earlier.start);
        let counts = earlier.grpc.iter().zip(&mut diff.grpc);
        for (then, now) in counts.chain(earlier.http2.iter().zip(&mut diff.http2)) {
            *now = now.wrapping_sub(*then);
        }
        diff
    }

    /// Takes the counts of the codes out that `wanted` says.
    pub fn take_codes(&mut self, wanted: impl Fn(Protocol, Code) -> bool) -> StatTotals {
        let http2 = vec![0; self.http2.len()];
        let mut taken = StatTotals { http2, ..StatTotals::default() };
        for ((protocol, code, from), (_, _, to)) in self.cells().zip(taken.cells()) {
            if wanted(protocol, code) {
                *to = std::mem::take(from);
            }
        }
        taken
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
