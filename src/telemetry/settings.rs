//! Settings of the exporter.

use std::time::Duration;

/// What is exported, and in what detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Maximum number of series, over all metrics.
    pub series_budget: usize,
    /// Upper bounds of the histograms, ascending; each one is counted exactly.
    pub latency_buckets: Vec<Duration>,
    /// The granularity of the time to the response head.
    pub response_start: ResponseStart,
}

/// The granularity of the time to the response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseStart {
    /// By service.
    Service,
    /// By backend.
    Backend,
    /// Not exported.
    Off,
}

/// In microseconds, from the fastest call on one machine to the usual client timeout, each at most
/// twice the one before.
const LATENCY_BUCKETS: [u64; 18] = [
    500, 1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 30_000, 50_000, 100_000, 200_000, 300_000,
    500_000, 1_000_000, 2_000_000, 3_000_000, 5_000_000, 10_000_000,
];

impl Default for MetricsSettings {
    fn default() -> MetricsSettings {
        MetricsSettings {
            series_budget: 200_000,
            latency_buckets: LATENCY_BUCKETS.map(Duration::from_micros).into(),
            response_start: ResponseStart::Service,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::nearest_bound;

    #[test]
    fn the_buckets_are_counted_exactly() {
        let bounds = MetricsSettings::default().latency_buckets;
        assert!(bounds.windows(2).all(|w| w[0] < w[1] && w[1] <= 2 * w[0]));
        for bound in bounds {
            assert_eq!(Duration::from_nanos(nearest_bound(bound.as_nanos() as u64)), bound);
        }
    }
}
