//! What a service counts beside its backends.

use std::sync::Arc;
use std::time::Duration;

use super::{EjectionCounts, MethodTable, Rejections};
use crate::health::CheckCounts;
use crate::model::{MirrorCounts, TimeoutCounts};
use crate::stats::WorkerCounter;

/// What of services is counted, and for how long it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountSettings {
    /// How long the counts of what was removed are told.
    pub keep_removed: Duration,
    /// gRPC methods that are counted under their names, of each service; 0 counts none at all.
    pub methods: usize,
}

impl Default for CountSettings {
    fn default() -> CountSettings {
        CountSettings { keep_removed: Duration::from_secs(5 * 60), methods: 256 }
    }
}

/// What a service counts beside its backends. If it goes and soon comes back, it goes on with it.
#[derive(Debug)]
pub struct ServiceCounts {
    /// Requests that were sent again.
    pub retries: WorkerCounter,
    /// Copies of requests that it got as a mirror.
    pub copies: MirrorCounts,
    /// Requests for it whose time was up.
    pub expired: TimeoutCounts,
    /// Requests for it that got no answer of a backend.
    pub rejections: Arc<Rejections>,
    /// Its calls by their methods.
    pub methods: Arc<MethodTable>,
    /// Checks of its backends' health.
    pub checks: Arc<CheckCounts>,
    /// Times that its backends were ejected.
    pub ejections: Arc<EjectionCounts>,
}

impl ServiceCounts {
    /// Nothing yet, for this many workers.
    pub fn new(workers: usize, settings: &CountSettings) -> ServiceCounts {
        ServiceCounts {
            retries: WorkerCounter::new(workers),
            copies: MirrorCounts::new(workers),
            expired: TimeoutCounts::new(workers),
            rejections: Arc::new(Rejections::new(workers)),
            methods: Arc::new(MethodTable::new(workers, settings.methods)),
            checks: Arc::default(),
            ejections: Arc::default(),
        }
    }
}
