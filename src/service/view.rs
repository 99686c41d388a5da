//! Read-only view of a service for the control API and metrics.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::history::{History, OutcomesSince};
use super::standing::{Condition, standing};
use super::{
    MergedIntent, OverrideView, RecentStats, Rejections, ServiceSpec, ServingPeriod, Standing,
};
use crate::balance::Ramp;
use crate::clock::Clock;
use crate::discovery::{Discovered, NameSubscription, Subscription};
use crate::model::{Endpoint, EwmaParams, Time};
use crate::overrides::ChangeLog;
use crate::stats::WindowStats;

/// Read-only view of a service for the control API and metrics, published on every change and once
/// a second.
#[derive(Debug)]
pub struct ServiceView {
    /// Balancer, connection settings, health check and ejection.
    pub spec: Arc<ServiceSpec>,
    /// Increments on every change by an operator; the first revision is 1.
    pub revision: u64,
    /// Increments on every snapshot, whatever the cause.
    pub generation: u64,
    /// Backends in the order of the configuration, then those added at run time.
    pub backends: Vec<BackendView>,
    /// Overrides by operators that are in effect.
    pub overrides: Arc<[OverrideView]>,
    /// The source that tells which backends it has, if there is one.
    pub source: Option<Arc<Subscription>>,
    /// The names among its endpoints, which are followed, by host.
    pub names: Arc<HashMap<Box<str>, NameSubscription>>,
    /// Whether the first set of that source is in effect.
    pub is_discovered: bool,
    /// Removed backends that still have requests in flight.
    pub leaving: Vec<BackendView>,
    /// Removed endpoints without requests in flight, retained for the next scrapes.
    pub removed: Vec<Arc<Endpoint>>,
    /// The part of the requests that stays in the gateway's zone, where that is preferred.
    pub near_part: Option<f64>,
    /// Statistics of the last 30 seconds, the gateway's own answers included.
    pub recent: RecentStats,
    /// Live counters of requests that the gateway answered itself.
    pub rejections: Arc<Rejections>,
    /// Parameters of the latency estimates.
    pub ewma: EwmaParams,
    pub(super) clock: Clock,
    pub(super) history: History,
    pub(super) changes: ChangeLog,
}

/// Read-only view of one backend.
#[derive(Clone, Debug)]
pub struct BackendView {
    /// Live counters and gauges.
    pub endpoint: Arc<Endpoint>,
    /// Configured weight and drain, overrides included.
    pub intent: MergedIntent,
    /// Since when it is in or out of service.
    pub serving_period: ServingPeriod,
    /// Whether it was removed and only finishes its requests in flight.
    pub leaving: bool,
    /// Health, ejection and panic mode.
    pub condition: Condition,
    /// How many addresses of its name share its weight.
    pub shared_by: u32,
    /// What a registry says of it, if one does.
    pub registered: Option<Arc<Discovered>>,
    /// The zone that it is in, as the configuration or else a registry says.
    pub zone: Option<Arc<str>>,
    /// Its slow start, while that lasts.
    pub ramp: Option<Ramp>,
    /// Statistics of the last 30 seconds.
    pub recent: WindowStats,
}

impl BackendView {
    /// State, effective weight and reason at `now`.
    pub fn standing(&self, now: Time) -> Standing {
        let connectivity = self.endpoint.connectivity(now);
        let ramp = self.ramp.map(|ramp| ramp.factor(now));
        let BackendView { intent, leaving, serving_period, condition, .. } = self;
        standing(*intent, *leaving, *serving_period, condition, connectivity, ramp)
    }
}

impl ServiceView {
    /// A view without backends, before the first revision.
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
            source: None,
            names: Arc::default(),
            is_discovered: false,
            leaving: Vec::new(),
            removed: Vec::new(),
            near_part: None,
            recent: RecentStats::default(),
            rejections: Arc::clone(rejections),
            ewma: spec.balancer.factory.ewma(),
            clock,
            history: History::default(),
            changes: ChangeLog::default(),
        }
    }

    /// The final view of a removed service, in which all backends are removed.
    pub(super) fn final_view(&self) -> ServiceView {
        let backends = self.leaving.iter().chain(&self.backends);
        let backends = backends.map(|backend| &backend.endpoint);
        ServiceView {
            revision: self.revision,
            removed: self.removed.iter().chain(backends).cloned().collect(),
            ..ServiceView::empty(&self.spec, &self.rejections, self.clock)
        }
    }

    /// The current time, for [`BackendView::standing`].
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// The warning for an operator who ejects a backend while too many are ejected already.
    pub fn ejection_warning(&self) -> Option<String> {
        let conditions = self.backends.iter().map(|it| (it.intent, &it.condition));
        ejection_warning(&self.spec, conditions)
    }

    /// The last changes by operators.
    pub fn changes(&self) -> &ChangeLog {
        &self.changes
    }

    /// Revisions since which requests can be counted; the newest is the current one.
    pub fn retained_revisions(&self) -> RangeInclusive<u64> {
        self.history.retained()
    }

    /// Outcomes of the requests of `backend` since `revision` began; `None` if that is no longer
    /// known. A backend that was added later is counted from its start.
    pub fn since(&self, revision: u64, backend: &BackendView) -> Option<OutcomesSince> {
        self.history.since(revision, backend)
    }

    /// The latency estimate of `backend`, in seconds.
    pub fn ewma_seconds(&self, backend: &BackendView) -> f64 {
        backend.endpoint.load().ewma_seconds(&self.ewma)
    }
}

/// The warning that too many of these backends are out.
pub(super) fn ejection_warning<'a>(
    spec: &ServiceSpec,
    backends: impl Iterator<Item = (MergedIntent, &'a Condition)> + Clone,
) -> Option<String> {
    let panic = spec.panic;
    if backends.clone().any(|(_, condition)| condition.in_panic) {
        return Some(format!(
            "panic: less than {panic}% of the weight is left, so those that are out get requests too"
        ));
    }
    let eligible = backends.filter(|(intent, _)| !intent.is_taken_out() && intent.weight > 0);
    let (count, out) = eligible.fold((0, 0), |(count, out), (_, condition)| {
        (count + 1, out + usize::from(!condition.is_available()))
    });
    let ejection = spec.ejection.as_ref()?;
    (out > ejection.limit(count)).then(|| {
        let max_ejected = ejection.max_ejected;
        format!(
            "{out} of {count} backends are out, and max_ejected is {max_ejected}%: no other is \
             ejected for its answers meanwhile"
        )
    })
}
