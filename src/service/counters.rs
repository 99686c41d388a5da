//! Counters of a service, apart from those of its endpoints.

use std::sync::Arc;
use std::time::Duration;

use super::{EjectionCounts, MethodTable, Rejections, RetryBudget};
use crate::admission::{Flows, Learning, Permits};
use crate::health::CheckCounts;
use crate::model::{MirrorCounts, RetryCounts, TimeoutCounts};
use crate::stats::WorkerCounter;

/// Settings of the counters of services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterSettings {
    /// How long removed services and backends stay in the metrics.
    pub keep_removed: Duration,
    /// Maximum of gRPC methods per service with counters of their own; 0 disables such counters.
    pub methods: usize,
}

impl Default for CounterSettings {
    fn default() -> CounterSettings {
        CounterSettings { keep_removed: Duration::from_secs(5 * 60), methods: 256 }
    }
}

/// Counters of a service, apart from those of its endpoints. A service that is removed and soon
/// configured again continues them.
#[derive(Debug)]
pub struct ServiceCounters {
    /// Retries.
    pub retries: RetryCounts,
    /// How many more there may be.
    pub retry_budget: RetryBudget,
    /// Its requests in flight, where they are limited.
    pub permits: Arc<Permits>,
    /// What is learnt of how many it can bear.
    pub learning: Arc<Learning>,
    /// Calls that the learnt limit would have refused.
    pub would_refuse: WorkerCounter,
    /// Whose turn it is among those that wait.
    pub flows: Arc<Flows>,
    /// Retries of requests that a backend answered with UNIMPLEMENTED.
    pub unimplemented_retries: WorkerCounter,
    /// Requests that were mirrored to it.
    pub copies: MirrorCounts,
    /// Requests that timed out.
    pub expired: TimeoutCounts,
    /// Requests cut off by a drain timeout of an endpoint.
    pub drain_cuts: WorkerCounter,
    /// Requests that the gateway answered itself.
    pub rejections: Arc<Rejections>,
    /// gRPC calls by method.
    pub methods: Arc<MethodTable>,
    /// Health checks.
    pub checks: Arc<CheckCounts>,
    /// Outlier ejections.
    pub ejections: Arc<EjectionCounts>,
}

impl ServiceCounters {
    /// Creates counters at 0 for this many workers.
    pub fn new(workers: usize, settings: &CounterSettings) -> ServiceCounters {
        ServiceCounters {
            retries: RetryCounts::new(workers),
            retry_budget: RetryBudget::new(workers),
            permits: Arc::new(Permits::new(workers)),
            learning: Arc::new(Learning::new(workers)),
            would_refuse: WorkerCounter::new(workers),
            flows: Arc::default(),
            unimplemented_retries: WorkerCounter::new(workers),
            copies: MirrorCounts::new(workers),
            expired: TimeoutCounts::new(workers),
            drain_cuts: WorkerCounter::new(workers),
            rejections: Arc::new(Rejections::new(workers)),
            methods: Arc::new(MethodTable::new(workers, settings.methods)),
            checks: Arc::default(),
            ejections: Arc::default(),
        }
    }
}
