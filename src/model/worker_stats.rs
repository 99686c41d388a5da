//! Statistics of one endpoint: one shard a worker, and totals over workers.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::outcome::{Class, Code, GRPC_CODES, GrpcCode, Protocol};
use super::results::ResultCounters;
use super::time::Time;
use crate::stats::{Direction, Histogram, HistogramCounts, Reading, StreamTotals, increment};

const HTTP_STATUSES: usize = 500; // 100..=599; higher ones are counted as 599

/// Single-writer counters of one worker: an increment is a plain load and store.
#[derive(Debug, Default)]
pub struct WorkerStats {
    duration: Histogram,
    start: Histogram,
    grpc: [AtomicU64; 17],
    http2: OnceLock<Box<[AtomicU64]>>, // lazy: most backends speak gRPC alone
    streams_opened: AtomicU64,
    streams_ended: AtomicU64,
    messages: [AtomicU64; 2],
    results: ResultCounters,
    /// When bytes were last received, in nanoseconds.
    last_received: AtomicU64,
}

impl WorkerStats {
    /// What outlier detection compares.
    pub fn results(&self) -> &ResultCounters {
        &self.results
    }

    /// Counts an ended call: its code and, unless cancelled, its duration to the last byte.
    pub fn record_call(&self, code: Code, duration: Duration) {
        if code.class() != Class::Cancelled {
            self.duration.record(duration);
        }
        self.record_code(code);
    }

    /// Records that bytes were received.
    #[inline]
    pub fn note_received(&self, now: Time) {
        self.last_received.store(now.as_nanos(), Relaxed);
    }

    /// When bytes were last received.
    pub fn last_received(&self) -> Time {
        Time::from_nanos(self.last_received.load(Relaxed))
    }

    /// Counts an opened stream.
    pub fn record_stream_opened(&self) {
        increment(&self.streams_opened);
    }

    /// Counts an ended stream. Its duration is not a latency.
    pub fn record_stream_ended(&self, code: Code) {
        increment(&self.streams_ended);
        self.record_code(code);
    }

    /// Counts messages on streams.
    pub fn count_messages(&self, direction: Direction, messages: u64) {
        let [requests, responses] = &self.messages;
        let counter = match direction {
            Direction::Request => requests,
            Direction::Response => responses,
        };
        counter.store(counter.load(Relaxed).wrapping_add(messages), Relaxed);
    }

    /// Totals of streams.
    pub fn streams(&self) -> StreamTotals {
        let [requests, responses] = &self.messages;
        StreamTotals {
            opened: self.streams_opened.load(Relaxed),
            ended: self.streams_ended.load(Relaxed),
            messages: [requests.load(Relaxed), responses.load(Relaxed)],
        }
    }

    fn record_code(&self, code: Code) {
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

    /// Records the time to a response head.
    pub fn record_start(&self, start: Duration) {
        self.start.record(start);
    }

    /// Adds the durations to `totals`.
    pub fn add_durations_to(&self, totals: &mut HistogramCounts) {
        self.duration.add_to(totals);
    }

    /// Adds the times to the response head to `totals`.
    pub fn add_starts_to(&self, totals: &mut HistogramCounts) {
        self.start.add_to(totals);
    }

    /// Adds counts of codes and of streams to `totals`.
    pub fn add_codes_to(&self, totals: &mut StatTotals) {
        totals.streams.add(&self.streams());
        totals.add_grpc(&self.grpc);
        if let Some(counts) = self.http2.get() {
            totals.http2.resize(HTTP_STATUSES, 0);
            for (sum, count) in totals.http2.iter_mut().zip(counts.iter()) {
                *sum += count.load(Relaxed);
            }
        }
    }

    /// All requests that have ended.
    pub fn requests(&self) -> u64 {
        let http2 = self.http2.get().map_or(&[][..], |counts| counts);
        self.grpc.iter().chain(http2).map(|count| count.load(Relaxed)).sum()
    }
}

/// An endpoint's statistics since the start, summed over workers.
#[derive(Clone, Debug, Default)]
pub struct StatTotals {
    /// Durations to the last byte, of calls.
    pub duration: HistogramCounts,
    /// Times to the response head.
    pub start: HistogramCounts,
    /// Totals of streams.
    pub streams: StreamTotals,
    grpc: [u64; 17],
    http2: Vec<u64>,
}

impl StatTotals {
    /// Codes with a non-zero count.
    pub fn codes(&self) -> impl Iterator<Item = (Protocol, Code, u64)> + '_ {
        let grpc = GRPC_CODES.iter().zip(&self.grpc);
        let grpc = grpc.map(|(code, n)| (Protocol::Grpc, Code::Grpc(*code), *n));
        let http = (100u16..).zip(&self.http2);
        let http = http.map(|(status, n)| (Protocol::Http, Code::Http(status), *n));
        grpc.chain(http).filter(|(_, _, n)| *n > 0)
    }

    /// Adds counts of gRPC codes.
    pub(super) fn add_grpc(&mut self, counts: &[AtomicU64; 17]) {
        for (sum, count) in self.grpc.iter_mut().zip(counts) {
            *sum += count.load(Relaxed);
        }
    }

    /// All codes with their counts, zero or not.
    fn cells(&mut self) -> impl Iterator<Item = (Protocol, Code, &mut u64)> {
        let grpc = GRPC_CODES.iter().zip(&mut self.grpc);
        let grpc = grpc.map(|(code, n)| (Protocol::Grpc, Code::Grpc(*code), n));
        let http = (100u16..).zip(&mut self.http2);
        grpc.chain(http.map(|(status, n)| (Protocol::Http, Code::Http(status), n)))
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &StatTotals) {
        self.duration.add(&other.duration);
        self.start.add(&other.start);
        self.add_codes(other);
    }

    /// As `add`, without durations, which are most of the work.
    pub fn add_codes(&mut self, other: &StatTotals) {
        self.streams.add(&other.streams);
        self.http2.resize(self.http2.len().max(other.http2.len()), 0);
        let counts = other.grpc.iter().zip(&mut self.grpc);
        for (count, sum) in counts.chain(other.http2.iter().zip(&mut self.http2)) {
            *sum += count;
        }
    }

    /// The difference to `earlier`, an older snapshot.
    pub fn since(&self, earlier: &StatTotals) -> StatTotals {
        let mut diff = self.clone();
        diff.duration = self.duration.since(&earlier.duration);
        diff.start = self.start.since(&earlier.start);
        diff.streams = self.streams.since(&earlier.streams);
        let counts = earlier.grpc.iter().zip(&mut diff.grpc);
        for (then, now) in counts.chain(earlier.http2.iter().zip(&mut diff.http2)) {
            *now = now.wrapping_sub(*then);
        }
        diff
    }

    /// Moves the counts of the codes selected by `wanted` out.
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

    /// All requests that have ended.
    pub fn requests(&self) -> u64 {
        self.codes().map(|(_, _, n)| n).sum()
    }

    /// Successful and failed requests; cancelled ones are in neither.
    pub fn success_failure(&self) -> (u64, u64) {
        self.codes().fold((0, 0), |(good, bad), (_, code, n)| match code.class() {
            Class::Success => (good + n, bad),
            Class::Failure => (good, bad + n),
            Class::Cancelled => (good, bad),
        })
    }

    /// The number of requests with this gRPC code.
    pub fn grpc(&self, code: GrpcCode) -> u64 {
        self.grpc[code as usize]
    }
}

impl From<StatTotals> for Reading {
    fn from(totals: StatTotals) -> Reading {
        let (success, failure) = totals.success_failure();
        let (requests, streams) = (totals.requests(), totals.streams);
        Reading { requests, duration: totals.duration, success, failure, streams }
    }
}
