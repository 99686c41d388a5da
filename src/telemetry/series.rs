//! How many series there are of what: the currency of the budget.

use super::page::histogram_series;
use super::settings::{MetricsSettings, ResponseStart};

/// Of a backend that has had no traffic: weight, up, and why it gets nothing if it does not.
const IDLE: usize = 3;
/// Further ones, once it had some: in flight, estimate, success ratio and the quantiles.
const BUSY: usize = 3 + 4;
/// Further ones, once it had streams: open, their age, opened, ended, and messages both ways.
const STREAMS: usize = 6;

/// What the settings make of that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prices {
    histogram: usize,
    pub(super) start: ResponseStart,
}

impl Prices {
    pub(super) fn new(settings: &MetricsSettings) -> Prices {
        let histogram = histogram_series(settings.latency_buckets.len());
        Prices { histogram, start: settings.response_start }
    }

    /// Of a backend, or of a sum of some, with so many codes; those that come and go included.
    pub(super) fn backend(self, busy: bool, codes: usize, streams: bool) -> usize {
        let start = if self.start == ResponseStart::Backend { self.histogram } else { 0 };
        let busy = if busy { BUSY + self.histogram + start } else { 0 };
        IDLE + busy + codes + if streams { self.streams() } else { 0 }
    }

    /// Those of them that are of its streams.
    pub(super) fn streams(self) -> usize {
        STREAMS
    }

    /// Of a method, or of a sum of some, with so many codes.
    pub(super) fn method(self, codes: usize) -> usize {
        if codes > 0 { codes + self.histogram } else { 0 }
    }

    /// Of a service, beside its backends', its methods' and its own counters.
    pub(super) fn service(self, busy: bool) -> usize {
        if busy && self.start == ResponseStart::Service { self.histogram } else { 0 }
    }
}
