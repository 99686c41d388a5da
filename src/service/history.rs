//! Baselines of the outcome counters at each of the last revisions, so that outcomes can be counted
//! since a change.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::BackendView;
use crate::model::{Class, Code, Endpoint, EndpointId, Protocol};

/// Maximum of revisions that are kept.
const MAX_REVISIONS: usize = 16;
/// Maximum of counts over all baselines: 6 MiB. With very many backends fewer revisions are kept,
/// but always the current one.
const MAX_COUNTS: usize = 1 << 18;

/// Baselines of the last revisions, the oldest first, without gaps.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    baselines: VecDeque<Arc<Baseline>>,
}

/// Counters at the beginning of a revision.
#[derive(Debug)]
struct Baseline {
    revision: u64,
    counts: OutcomeCounts,
}

/// Outcome counters by endpoint and code, sorted by endpoint; those at 0 are left out.
#[derive(Clone, Debug)]
pub(super) struct OutcomeCounts(Arc<[(EndpointId, Code, u64)]>);

impl OutcomeCounts {
    /// The current counters of these endpoints.
    pub(super) fn of(endpoints: &[Arc<Endpoint>]) -> OutcomeCounts {
        let mut endpoints: Vec<&Arc<Endpoint>> = endpoints.iter().collect();
        endpoints.sort_unstable_by_key(|endpoint| endpoint.id());
        let mut counts = Vec::new();
        for endpoint in endpoints {
            let codes = endpoint.codes();
            counts.extend(codes.codes().map(|(_, code, count)| (endpoint.id(), code, count)));
        }
        OutcomeCounts(counts.into())
    }

    /// The counter of an endpoint; 0 for one that was added later.
    fn count(&self, endpoint: EndpointId, code: Code) -> u64 {
        let first = self.0.partition_point(|(other, ..)| *other < endpoint);
        let its = self.0.iter().skip(first).take_while(|(other, ..)| *other == endpoint);
        let mut found = its.filter(|(_, other, _)| *other == code);
        found.next().map_or(0, |(.., count)| *count)
    }
}

/// Outcomes of a backend's requests since a revision began, or since the backend was added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutcomesSince {
    /// Finished requests.
    pub requests: u64,
    /// Failed requests.
    pub failures: u64,
    /// Requests by code, without zeros.
    pub codes: Vec<(Protocol, Code, u64)>,
}

impl History {
    /// Adds these counters as the baseline of several revisions, which begin together.
    pub(super) fn begin(&mut self, revisions: RangeInclusive<u64>, counts: &OutcomeCounts) {
        for revision in revisions {
            let baseline = Baseline { revision, counts: counts.clone() };
            self.baselines.push_back(Arc::new(baseline));
            while self.exceeds_limits() {
                self.baselines.pop_front();
            }
        }
    }

    fn exceeds_limits(&self) -> bool {
        let counts: usize = self.baselines.iter().map(|baseline| baseline.counts.0.len()).sum();
        let most = if counts > MAX_COUNTS { 1 } else { MAX_REVISIONS };
        self.baselines.len() > most
    }

    /// Revisions with a baseline.
    pub(super) fn retained(&self) -> RangeInclusive<u64> {
        let revision = |baseline: Option<&Arc<Baseline>>| baseline.map_or(0, |b| b.revision);
        revision(self.baselines.front())..=revision(self.baselines.back())
    }

    /// Outcomes of the backend's requests since `revision` began; `None` without a baseline.
    pub(super) fn since(&self, revision: u64, backend: &BackendView) -> Option<OutcomesSince> {
        let baseline = self.baselines.iter().find(|baseline| baseline.revision == revision)?;
        let mut since = OutcomesSince::default();
        for (protocol, code, count) in backend.endpoint.codes().codes() {
            let count = count.saturating_sub(baseline.counts.count(backend.endpoint.id(), code));
            if count > 0 {
                since.requests += count;
                since.failures += if code.class() == Class::Failure { count } else { 0 };
                since.codes.push((protocol, code, count));
            }
        }
        Some(since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::standing::Condition;
    use super::super::{MergedIntent, ServingPeriod};
    use super::*;
    use crate::model::{GrpcCode, Time};
    use crate::stats::WindowStats;

    fn backend() -> BackendView {
        let endpoint = Arc::new(Endpoint::new("a:1", 1, Time::ZERO));
        let recent = WindowStats::default();
        let intent = MergedIntent { weight: 1, drained: false, terminating: false };
        let condition = Condition::default();
        let serving_period = ServingPeriod::new(&endpoint, Time::ZERO);
        BackendView {
            endpoint,
            intent,
            shared_by: 1,
            registered: None,
            zone: None,
            serving_period,
            leaving: false,
            condition,
            ramp: None,
            recent,
        }
    }

    fn end(backend: &BackendView, code: Code, times: u64) {
        for _ in 0..times {
            backend.endpoint.worker_stats(0).record_call(code, Duration::from_millis(1));
        }
    }

    fn begin(history: &mut History, revision: u64, backends: &[&BackendView]) {
        let endpoints: Vec<_> = backends.iter().map(|b| Arc::clone(&b.endpoint)).collect();
        history.begin(revision..=revision, &OutcomeCounts::of(&endpoints));
    }

    #[test]
    fn counts_from_a_revision_or_from_the_beginning_of_an_endpoint() {
        let [early, late] = [backend(), backend()];
        let (ok, bad) = (Code::Grpc(GrpcCode::Ok), Code::Grpc(GrpcCode::Unavailable));
        let mut history = History::default();
        end(&early, ok, 5);
        end(&early, Code::Http(503), 2);
        begin(&mut history, 1, &[&early]);
        end(&early, ok, 1);
        begin(&mut history, 2, &[&late, &early]);
        end(&early, bad, 3);
        end(&late, Code::Http(404), 4);
        let since = |revision, backend| history.since(revision, backend).unwrap();
        let seen = |since: OutcomesSince| {
            let codes = since.codes.into_iter().map(|(_, code, count)| (code, count));
            (since.requests, since.failures, codes.collect::<Vec<_>>())
        };
        assert_eq!(seen(since(1, &early)), (4, 3, vec![(ok, 1), (bad, 3)]));
        assert_eq!(seen(since(2, &early)), (3, 3, vec![(bad, 3)]));
        for revision in [1, 2] {
            let all = (4, 0, vec![(Code::Http(404), 4)]);
            assert_eq!(seen(since(revision, &late)), all, "{revision}");
        }
    }

    #[test]
    fn only_so_many_revisions_and_counts_are_kept() {
        let one = backend();
        let mut history = History::default();
        for revision in 1..=40 {
            end(&one, Code::Grpc(GrpcCode::Ok), 1);
            begin(&mut history, revision, &[&one]);
        }
        assert_eq!(history.retained(), 25..=40);
        assert_eq!(history.since(25, &one).unwrap().requests, 15);
        assert!([0, 24, 41].iter().all(|revision| history.since(*revision, &one).is_none()));

        // The maximum of endpoints, each with several codes.
        (100..112).for_each(|status| end(&one, Code::Http(status), 1));
        let many = |history: &mut History, revision| {
            let counts = OutcomeCounts::of(&vec![Arc::clone(&one.endpoint); 10_000]);
            history.begin(revision..=revision, &counts);
        };
        (41..=50).for_each(|revision| many(&mut history, revision));
        assert_eq!(history.retained(), 49..=50, "130,000 counts each");
    }
}
