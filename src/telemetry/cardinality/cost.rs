//! The number of series of a service, backend or method, as counted by the series budget.

use crate::telemetry::page::histogram_series;
use crate::telemetry::settings::{MetricsSettings, ResponseStart};

/// A backend without traffic: weight, up, and its state.
const IDLE: usize = 3;
/// In addition once it had traffic: in flight, latency estimate, success ratio and quantiles.
const BUSY: usize = 3 + 4;
/// In addition once it had streams: open, age, opened, ended, and messages both ways.
const STREAMS: usize = 6;

/// Series counts that depend on the settings.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) struct SeriesCost {
    histogram: usize,
    pub(in crate::telemetry) start: ResponseStart,
}

impl SeriesCost {
    pub(in crate::telemetry) fn new(settings: &MetricsSettings) -> SeriesCost {
        let histogram = histogram_series(settings.latency_buckets.len());
        SeriesCost { histogram, start: settings.response_start }
    }

    /// Series of a backend, or of an aggregate of several, with this many status codes; includes
    /// temporary series.
    pub(in crate::telemetry) fn backend(self, busy: bool, codes: usize, streams: bool) -> usize {
        let start = if self.start == ResponseStart::Backend { self.histogram } else { 0 };
        let busy = if busy { BUSY + self.histogram + start } else { 0 };
        IDLE + busy + codes + if streams { self.streams() } else { 0 }
    }

    /// Those of them that are about its streams.
    pub(in crate::telemetry) fn streams(self) -> usize {
        STREAMS
    }

    /// Series of a method, or of an aggregate of several, with this many status codes.
    pub(in crate::telemetry) fn method(self, codes: usize) -> usize {
        if codes > 0 { codes + self.histogram } else { 0 }
    }

    /// Series of a service itself, without its backends, its methods and its own counters.
    pub(in crate::telemetry) fn service(self, busy: bool) -> usize {
        let starts = busy && self.start == ResponseStart::Service;
        1 + if starts { self.histogram } else { 0 } // panic mode
    }
}
