//! Outlier detection: finds backends whose requests succeed less often, or whose calls take longer,
//! than those of the others.
//!
//! Each backend is compared to all others taken together, which needs only two backends. The usual
//! test, by standard deviations below the mean of all, cannot work in small sets: of n values none is
//! more than √(n-1) standard deviations from their mean (Samuelson, "How Deviant Can You Be?", 1968),
//! which is why Envoy, at 1.9, asks for five hosts.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::time::Duration;

use super::{Cause, Ejection};
use crate::model::{self, EndpointId, Time};
use crate::service::desired::Backend;

/// Length of the window; there is one reading a second.
const SECONDS: usize = 10;

/// Minimum difference of latencies for an ejection.
const LATENCY_FLOOR: Duration = Duration::from_millis(100);

/// Minimum number of calls in a window for latencies to be compared. A latency-aware policy sends slow
/// backends fewer, and finds them recovered sooner.
const MIN_CALLS: u64 = 100;

/// By how many standard deviations a success ratio has to be lower.
const Z: f64 = 2.0;

/// The outliers among the backends, and why they are.
pub type Outliers = HashMap<EndpointId, Cause>;

/// The results of a service's backends in the last ten seconds.
#[derive(Default)]
pub struct Results {
    windows: HashMap<EndpointId, Window>,
    pushed: Time,
}

impl Results {
    /// Takes a reading of each backend; to be called once a second.
    pub fn push(&mut self, backends: &[Backend], now: Time) {
        let mut before = mem::take(&mut self.windows);
        for Backend { endpoint, ejection, .. } in backends {
            let mut window = before.remove(&endpoint.id()).unwrap_or_default();
            // Results from before the last ejection must not cause another one.
            let returned = ejection.ended.is_some_and(|ended| ended >= self.pushed);
            if ejection.ejected.is_some() || returned {
                window = Window::default();
            }
            window.push(endpoint.results());
            self.windows.insert(endpoint.id(), window);
        }
        self.pushed = now;
    }

    /// The outliers by `settings`; by latency only if all backends get the same mix of requests.
    pub fn outliers(&self, settings: &Ejection, by_latency: bool) -> Outliers {
        let (ids, windows): (Vec<EndpointId>, Vec<&Window>) =
            self.windows.iter().map(|(id, window)| (*id, window)).unzip();
        let mut outliers = Outliers::new();
        let mut note = |causes: Vec<Option<Cause>>| {
            let found = ids.iter().zip(causes);
            outliers.extend(found.filter_map(|(id, cause)| Some((*id, cause?))));
        };
        if by_latency && settings.latency_factor > 0 {
            note(by_latency_of(settings, &windows));
        }
        note(by_success_ratio(settings, &windows));
        outliers
    }
}

/// Readings of one backend, the oldest first.
#[derive(Default)]
struct Window(VecDeque<model::Results>);

impl Window {
    fn push(&mut self, reading: model::Results) {
        if self.0.len() > SECONDS {
            self.0.pop_front();
        }
        self.0.push_back(reading);
    }

    /// The results of the last `seconds`, or of as many as there are.
    fn last(&self, seconds: usize) -> model::Results {
        let begin = self.0.len().saturating_sub(seconds + 1);
        let first = self.0.get(begin).copied().unwrap_or_default();
        self.0.back().copied().unwrap_or_default() - first
    }

    fn is_full(&self) -> bool {
        self.0.len() > SECONDS
    }
}

/// Compares the success ratio of each backend over the last second, two seconds and so on to that of
/// the others. The upper bound of the ratio has to be low, so few requests are enough if nearly all
/// fail.
fn by_success_ratio(settings: &Ejection, windows: &[&Window]) -> Vec<Option<Cause>> {
    let total = |seconds| {
        let mut total = model::Results::default();
        windows.iter().for_each(|window| total += window.last(seconds));
        total
    };
    let totals: Vec<model::Results> = (1..=SECONDS).map(total).collect();
    let outlier = |window: &&Window| {
        totals.iter().zip(1..).find_map(|(total, seconds)| {
            let own = window.last(seconds);
            let others = *total - own;
            let enough = own.requests.min(others.requests) >= settings.min_requests;
            let low =
                upper_bound(own) * 100.0 < success(others) * f64::from(settings.success_ratio);
            let percent = |results| (success(results) * 100.0).round() as u8;
            (enough && low).then(|| Cause::SuccessRatio {
                succeeded: percent(own),
                requests: own.requests,
                others: percent(others),
            })
        })
    };
    windows.iter().map(outlier).collect()
}

fn success(results: model::Results) -> f64 {
    1.0 - results.faults as f64 / results.requests.max(1) as f64
}

/// The upper end of the success ratio's confidence interval at two standard deviations (Wilson,
/// "Probable Inference", 1927).
fn upper_bound(results: model::Results) -> f64 {
    let (ratio, per_request) = (success(results), Z * Z / results.requests.max(1) as f64);
    let variance = ratio * (1.0 - ratio) * per_request + per_request * per_request / 4.0;
    (ratio + per_request / 2.0 + variance.sqrt()) / (1.0 + per_request)
}

/// Compares the mean latency of each backend to the median of the others'. Over a whole window, so
/// that a momentary pause does not decide.
fn by_latency_of(settings: &Ejection, windows: &[&Window]) -> Vec<Option<Cause>> {
    let mean = |window: &&Window| {
        let results = Some(window).filter(|it| it.is_full())?.last(SECONDS);
        results.mean_latency().filter(|_| results.calls >= MIN_CALLS)
    };
    let means: Vec<Option<Duration>> = windows.iter().map(mean).collect();
    let mut sorted: Vec<Duration> = means.iter().copied().flatten().collect();
    sorted.sort();
    let outlier = |mean: Duration| {
        // Leaving out the backend itself shifts the median by one if it is sorted before it. Of two
        // values in the middle, the greater one counts.
        let own = sorted.partition_point(|other| *other < mean);
        let middle = sorted.len().saturating_sub(1) / 2;
        let others = *sorted.get(if own <= middle { middle + 1 } else { middle })?;
        let slow = mean > others + LATENCY_FLOOR && mean > others * settings.latency_factor;
        slow.then_some(Cause::Latency { mean, others })
    };
    means.into_iter().map(|mean| outlier(mean?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HealthSignal, ResultCounters};

    /// A window of this many seconds with the same results in each.
    fn window(seconds: usize, second: impl Fn(usize, &ResultCounters)) -> Window {
        let (counters, mut window) = (ResultCounters::default(), Window::default());
        window.push(counters.read());
        for number in 0..seconds {
            second(number, &counters);
            window.push(counters.read());
        }
        window
    }

    /// Ten seconds with this many requests each; in the last `last` seconds this many of them fail.
    fn failing(requests: u64, faults: u64, last: usize) -> Window {
        window(SECONDS, |second, counters| {
            for request in 0..requests {
                let fails = second + last >= SECONDS && request < faults;
                counters
                    .record(if fails { HealthSignal::Fault } else { HealthSignal::Success }, None);
            }
        })
    }

    fn ratios(windows: &[Window]) -> Vec<Option<Cause>> {
        by_success_ratio(&Ejection::defaults(), &windows.iter().collect::<Vec<_>>())
    }

    fn latencies(windows: &[Window]) -> Vec<bool> {
        let windows: Vec<_> = windows.iter().collect();
        by_latency_of(&Ejection::defaults(), &windows).iter().map(Option::is_some).collect()
    }

    #[test]
    fn two_backends_are_enough_to_tell_which_one_fails() {
        let found = ratios(&[failing(100, 50, 10), failing(100, 0, 10)]);
        let cause = Cause::SuccessRatio { succeeded: 50, requests: 100, others: 100 };
        assert_eq!(found, [Some(cause), None]);
        assert_eq!(ratios(&[failing(100, 50, 10)]), [None], "nothing to compare to");
    }

    #[test]
    fn the_less_requests_the_more_have_to_fail() {
        for (requests, fails, tells) in
            [(9, 9, false), (10, 4, false), (10, 5, true), (100, 27, false), (100, 29, true)]
        {
            let few = window(1, |_, counters| {
                (0..requests).for_each(|request| {
                    counters.record(
                        if request < fails { HealthSignal::Fault } else { HealthSignal::Success },
                        None,
                    );
                });
            });
            let found = ratios(&[few, failing(100, 0, 1)])[0];
            assert_eq!(found.is_some(), tells, "{fails} of {requests}: {found:?}");
        }
        assert!(ratios(&[failing(3, 2, 10), failing(100, 0, 10)])[0].is_some(), "in ten seconds");
    }

    #[test]
    fn a_backend_that_fails_like_the_others_is_no_outlier() {
        assert_eq!(ratios(&[failing(100, 90, 10), failing(100, 89, 10)]), [None; 2]);
        assert_eq!(ratios(&[failing(100, 19, 10), failing(100, 0, 10)]), [None; 2]);
    }

    /// Calls of these latencies in milliseconds, in turns, of a second each.
    fn slow(seconds: usize, millis: &[u64]) -> Window {
        window(seconds, |second, counters| {
            let millis = Duration::from_millis(millis[second % millis.len()]);
            (0..30).for_each(|_| counters.record(HealthSignal::Success, Some(millis)));
        })
    }

    #[test]
    fn a_backend_much_slower_than_the_median_is_an_outlier() {
        assert_eq!(latencies(&[slow(10, &[210]), slow(10, &[10])]), [true, false]);
        let three = [slow(10, &[210]), slow(10, &[10]), slow(10, &[12])];
        assert_eq!(latencies(&three), [true, false, false]);
        let most = [slow(10, &[210]), slow(10, &[10]), slow(10, &[220])];
        assert_eq!(latencies(&most), [false; 3], "most are as slow");
        assert_eq!(latencies(&[slow(10, &[70]), slow(10, &[1])]), [false; 2], "below the floor");
        assert_eq!(latencies(&[slow(10, &[900]), slow(10, &[300])]), [false; 2]);
    }

    #[test]
    fn a_pause_makes_no_outlier_and_neither_does_a_short_time() {
        let pause = [2000, 10, 10, 10, 10, 10, 10, 10, 10, 10];
        assert_eq!(latencies(&[slow(10, &pause), slow(10, &[10])]), [false; 2]);
        assert_eq!(latencies(&[slow(9, &[210]), slow(10, &[10])]), [false; 2]);
    }
}
