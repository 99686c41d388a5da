//! A service as operators and metrics see it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::ServiceSpec;
use super::history::{History, Since};
use crate::model::{Endpoint, EwmaParams, WindowStats};

/// A service as operators and metrics see it: renewed on every change and once a second.
#[derive(Debug)]
pub struct ServiceView {
    /// How requests are spread and connections are made.
    pub spec: Arc<ServiceSpec>,
    /// The last change; the first revision is 1.
    pub revision: u64,
    /// In the order of the configuration, then those added at run time.
    pub backends: Vec<BackendView>,
    /// Those removed that still have requests in flight.
    pub leaving: Vec<BackendView>,
    /// How the latency estimates are kept.
    pub ewma: EwmaParams,
    pub(super) history: History,
}

/// One backend of a service.
#[derive(Clone, Debug)]
pub struct BackendView {
    /// Where the values are read that change with every request.
    pub endpoint: Arc<Endpoint>,
    pub(super) life: u64,
    /// What was asked for.
    pub weight: u32,
    /// Whether an operator took it out.
    pub drained: bool,
    /// The last 30 seconds.
    pub recent: WindowStats,
}

/// Whether a backend gets requests, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    /// It gets requests according to its weight.
    Ready,
    /// An operator took it out: it gets no new requests.
    Draining,
    /// No connection to it is established: one is being made, or the last attempt has failed.
    Connecting,
}

impl BackendView {
    /// The weight that requests are balanced by.
    pub fn effective_weight(&self) -> u32 {
        if self.drained { 0 } else { self.weight }
    }

    /// The state at this moment.
    pub fn state(&self) -> BackendState {
        if self.drained {
            BackendState::Draining
        } else if self.endpoint.connected() == 0 && self.endpoint.connecting() > 0 {
            BackendState::Connecting
        } else {
            BackendState::Ready
        }
    }
}

impl ServiceView {
    /// The revisions since which requests can be counted; the newest is the current one.
    pub fn kept_revisions(&self) -> RangeInclusive<u64> {
        self.history.kept()
    }

    /// How the requests of `backend` ended since `revision` began, if that is still known. Of one
    /// that came later all count, and none of those that an earlier one at its address had.
    pub fn since(&self, revision: u64, backend: &BackendView) -> Option<Since> {
        self.history.since(revision, backend)
    }

    /// The latency estimate of `backend`, in seconds.
    pub fn ewma_seconds(&self, backend: &BackendView) -> f64 {
        backend.endpoint.load().ewma_seconds(&self.ewma)
    }
}
