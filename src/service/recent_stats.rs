//! Request statistics of a service over the last 30 seconds, the gateway's own answers included.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Rejections;
use crate::model::{Class, RejectReason, RejectTotals};
use crate::stats::WindowStats;

/// Length of the window; one sample a second, as for backends.
const WINDOW_SECONDS: usize = 30;

/// Request statistics of a service over the last 30 seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecentStats {
    /// Finished requests.
    pub requests: u64,
    /// Requests that the gateway answered itself.
    pub rejected: u64,
    /// Success ratio; requests that the client cancelled do not count.
    pub success_ratio: Option<f64>,
}

impl RecentStats {
    /// Sums up the answers of backends and of the gateway.
    pub(super) fn new<'a>(
        backends: impl Iterator<Item = &'a WindowStats>,
        rejected: &RejectTotals,
    ) -> RecentStats {
        let (mut requests, mut success, mut failure) = (0, 0, 0);
        for stats in backends {
            requests += stats.requests;
            success += stats.succeeded;
            failure += stats.failed;
        }
        for (reason, count) in RejectReason::ALL.iter().zip(rejected) {
            match reason.class() {
                Class::Success => success += count,
                Class::Failure => failure += count,
                Class::Cancelled => {}
            }
        }
        let rejected = rejected.iter().sum();
        let decided = success + failure;
        RecentStats {
            requests: requests + rejected,
            rejected,
            success_ratio: (decided > 0).then(|| success as f64 / decided as f64),
        }
    }
}

/// Sliding window over the rejection counters of a service.
#[derive(Debug)]
pub(super) struct RejectionWindow {
    rejections: Arc<Rejections>,
    /// Totals when the window was created.
    before: RejectTotals,
    /// One sample a second, the oldest first.
    totals: VecDeque<RejectTotals>,
}

impl RejectionWindow {
    /// Creates a window that begins now.
    pub(super) fn new(rejections: &Arc<Rejections>) -> RejectionWindow {
        let (rejections, before) = (Arc::clone(rejections), rejections.totals());
        RejectionWindow { rejections, before, totals: VecDeque::new() }
    }

    /// The counters, which are not limited to the window.
    pub(super) fn rejections(&self) -> &Arc<Rejections> {
        &self.rejections
    }

    /// Advances by one second.
    pub(super) fn advance(&mut self) {
        if self.totals.len() > WINDOW_SECONDS {
            self.totals.pop_front();
        }
        self.totals.push_back(self.rejections.totals());
    }

    /// Rejections within the window.
    pub(super) fn counts(&self) -> RejectTotals {
        let latest = self.totals.back().unwrap_or(&self.before);
        // Until the window is full, it begins at its creation.
        let oldest = self.totals.front().filter(|_| self.totals.len() > WINDOW_SECONDS);
        let oldest = oldest.unwrap_or(&self.before);
        let mut counts = *latest;
        counts
            .iter_mut()
            .zip(oldest)
            .for_each(|(count, before)| *count = count.saturating_sub(*before));
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(no_backend: u64, cancelled: u64) -> RejectTotals {
        let mut totals = RejectTotals::default();
        totals[RejectReason::NoBackend as usize] = no_backend;
        totals[RejectReason::Cancelled as usize] = cancelled;
        totals
    }

    #[test]
    fn rejections_count_in_the_ratio_and_cancellations_do_not() {
        let backend = WindowStats { requests: 8, succeeded: 6, failed: 1, ..Default::default() };
        let recent = RecentStats::new([&backend, &backend].into_iter(), &totals(2, 5));
        let success_ratio = Some(12.0 / 16.0);
        assert_eq!(recent, RecentStats { requests: 23, rejected: 7, success_ratio });
        assert_eq!(RecentStats::new([].into_iter(), &totals(0, 3)).success_ratio, None);
    }

    #[test]
    fn rejections_are_forgotten_after_thirty_seconds_and_not_before() {
        let rejections = Arc::new(Rejections::new(1));
        let mut window = RejectionWindow::new(&rejections);
        (0..4).for_each(|_| rejections.of("all").increment(RejectReason::NoBackend, 0));
        window.advance();
        for second in 1..=WINDOW_SECONDS {
            assert_eq!(window.counts(), totals(4, 0), "after {second} s");
            window.advance();
        }
        assert_eq!(window.counts(), totals(0, 0));
        rejections.of("all").increment(RejectReason::Cancelled, 0);
        window.advance();
        assert_eq!(window.counts(), totals(0, 1));
    }
}
