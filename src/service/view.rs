//! A service as operators and metrics see it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::history::{History, Since};
use super::standing::{Condition, Reach, standing};
use super::{Overridden, Recent, Rejections, ServiceSpec, Standing, Wanted};
use crate::clock::Clock;
use crate::model::{Endpoint, EwmaParams, Time};
use crate::stats::WindowStats;

/// A service as operators and metrics see it: renewed on every change and once a second.
#[derive(Debug)]
pub struct ServiceView {
    /// How requests are spread and connections are made.
    pub spec: Arc<ServiceSpec>,
    /// Counts what operators have changed; the first revision is 1.
    pub revision: u64,
    /// Counts the snapshots, whatever made them.
    pub generation: u64,
    /// In the order of the configuration, then those added at run time.
    pub backends: Vec<BackendView>,
    /// What operators want otherwise than the configuration has it.
    pub overrides: Arc<[Overridden]>,
    /// Those removed that still have requests in flight.
    pub leaving: Vec<BackendView>,
    /// Those that have left in the last minutes.
    pub past: Vec<Arc<Endpoint>>,
    /// The last 30 seconds, with what the gateway answered itself.
    pub recent: Recent,
    /// Requests that got no answer of a backend; this goes on by itself.
    pub rejections: Arc<Rejections>,
    /// How the latency estimates are kept.
    pub ewma: EwmaParams,
    pub(super) clock: Clock,
    pub(super) history: History,
}

/// One backend of a service.
#[derive(Clone, Debug)]
pub struct BackendView {
    /// Where the values are read that change with every request.
    pub endpoint: Arc<Endpoint>,
    /// What was asked for.
    pub wanted: Wanted,
    /// Whether it was removed, and only finishes what is in flight.
    pub leaving: bool,
    /// What speaks against it.
    pub condition: Condition,
    /// The last 30 seconds.
    pub recent: WindowStats,
}

impl BackendView {
    /// How it stands at `now`.
    pub fn standing(&self, now: Time) -> Standing {
        let reach = Reach::of(&self.endpoint, now);
        standing(self.wanted, self.leaving, &self.condition, reach)
    }
}

impl ServiceView {
    /// Before there is a first revision.
    pub(super) fn empty(
        spec: &Arc<ServiceSpec>,
        rejections: &Arc<Rejections>,
        clock: Clock,
    ) -> ServiceView {
        ServiceView {
            spec: Arc::clone(spec),
            revision: 0,
            generation: 0,
            backends: Vec::new(),
            overrides: Arc::default(),
            leaving: Vec::new(),
            past: Vec::new(),
            recent: Recent::default(),
            rejections: Arc::clone(rejections),
            ewma: spec.balancer.factory.ewma(),
            clock,
            history: History::default(),
        }
    }

    /// The same once all of its backends are gone.
    pub(super) fn departed(&self) -> ServiceView {
        let backends = self.leaving.iter().chain(&self.backends);
        let backends = backends.map(|backend| &backend.endpoint);
        ServiceView {
            revision: self.revision,
            past: self.past.iter().chain(backends).cloned().collect(),
            ..ServiceView::empty(&self.spec, &self.rejections, self.clock)
        }
    }

    /// The time now, at which it is looked at.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

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
