//! The 95th percentile of the durations of one method's calls in the last 30 seconds.

use std::collections::VecDeque;
use std::time::Duration;

use super::method_metrics::quantile;
use crate::model::Time;
use crate::stats::HistogramCounts;

/// Length of the sliding window.
const WINDOW: Duration = Duration::from_secs(30);

/// How often the totals are kept, to subtract them later.
const STEP: Duration = Duration::from_secs(5);

/// How long a result is used.
const FRESH: Duration = Duration::from_secs(1);

/// Totals of one method at some times of the window, the oldest first.
#[derive(Debug, Default)]
pub struct RecentDurations {
    totals: VecDeque<(Time, HistogramCounts)>,
    last: Option<(Time, Option<Duration>)>,
}

impl RecentDurations {
    /// The 95th percentile, if there were enough calls; `total` counts those since the start.
    pub fn p95(&mut self, now: Time, total: impl FnOnce() -> HistogramCounts) -> Option<Duration> {
        if let Some((_, p95)) = self.last.filter(|(at, _)| now.since(*at) < FRESH) {
            return p95;
        }
        let total = total();
        // The newest total from before the window is kept: the window's counts begin there.
        while self.totals.get(1).is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
            self.totals.pop_front();
        }
        let p95 =
            self.totals.front().and_then(|(_, earlier)| quantile(&total.since(earlier), 0.95));
        if self.totals.back().is_none_or(|(at, _)| now.since(*at) >= STEP) {
            self.totals.push_back((now, total));
        }
        self.last = Some((now, p95));
        p95
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Histogram;

    #[test]
    fn it_knows_the_last_thirty_seconds_alone() {
        let (histogram, mut recent) = (Histogram::default(), RecentDurations::default());
        let mut at = |second: u64, calls: u32, millis: u64| {
            (0..calls).for_each(|_| histogram.record(Duration::from_millis(millis)));
            let total = || {
                let mut counts = HistogramCounts::default();
                histogram.add_to(&mut counts);
                counts
            };
            let p95 = recent.p95(Time::from_millis(second * 1000), total);
            p95.map(|p95| (p95.as_secs_f64() * 100.0).round() / 100.0)
        };
        assert_eq!(at(1, 1000, 10), None, "nothing before");
        assert_eq!(at(3, 99, 100), None, "too few");
        assert_eq!(at(4, 1, 100), Some(0.1));
        for second in 5..40 {
            at(second, 10, 200);
        }
        assert_eq!(at(80, 0, 0), None, "long ago");
    }
}
