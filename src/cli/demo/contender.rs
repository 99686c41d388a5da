//! Policies under comparison: each has its own service, with the same backends and load.

use std::sync::Arc;

use super::load::Load;
use crate::model::StatTotals;
use crate::service::Service;
use crate::stats::HistogramCounts;

/// A policy under comparison.
pub struct Contender {
    policy: &'static str,
    service: Arc<Service>,
    load: Load,
    /// Totals by backend at the last turn.
    before: Vec<u64>,
    before_client: (HistogramCounts, u64),
}

/// Statistics of one turn.
pub struct TurnStats {
    pub policy: &'static str,
    /// By backend.
    pub shares: Vec<f64>,
    /// As measured by the client.
    pub requests: u64,
    /// Since the start.
    pub failed: u64,
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

impl Contender {
    /// A policy that balances `load` over `service`.
    pub fn new(policy: &'static str, service: Arc<Service>, load: Load) -> Contender {
        Contender { policy, service, load, before: Vec::new(), before_client: Default::default() }
    }

    /// Its service.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The statistics since the last call of this.
    pub fn turn(&mut self) -> TurnStats {
        let view = self.service.view();
        let codes = view.backends.iter().map(|backend| backend.endpoint.codes());
        let now: Vec<u64> = codes.map(|codes: StatTotals| codes.requests()).collect();
        self.before.resize(now.len(), 0);
        let since: Vec<u64> = now.iter().zip(&self.before).map(|(now, then)| now - then).collect();
        let all = since.iter().sum::<u64>().max(1) as f64;
        self.before = now;
        let (counts, failed) = self.load.results();
        let answered = counts.since(&self.before_client.0);
        let requests = answered.count() + failed - self.before_client.1;
        self.before_client = (counts, failed);
        TurnStats {
            policy: self.policy,
            shares: since.into_iter().map(|requests| requests as f64 / all).collect(),
            requests,
            failed,
            p50: answered.quantile(0.5),
            p99: answered.quantile(0.99),
        }
    }

    /// Successful and failed requests of all policies.
    pub fn results(contenders: &[Contender]) -> (u64, u64) {
        let results = contenders.iter().map(|contender| contender.load.results());
        results.fold((0, 0), |(all, failed), (counts, more)| (all + counts.count(), failed + more))
    }
}
