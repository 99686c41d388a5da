//! The metrics source: samples of the services at a scrape.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::audit::{AuditCounters, AuditFailure};
use crate::discovery::{NAME, SourceStatus};
use crate::model::{
    Certificate, ControlRefusals, Endpoint, MirrorOutcome, RejectReason, RejectTotals,
};
use crate::overrides::{Counters, Failure};
use crate::service::{
    BackendState, BackendView, Concurrency, Registry, ServiceCounters, ServiceMetrics, ServiceView,
};
use crate::stats::WindowStats;
use crate::tasks::{Task, Tasks};
use crate::telemetry::{
    AuditSample, BackendSample, Certificates, ConcurrencySample, CounterId, JournalSample,
    MetricsSource, RefusedConnections, RefusedSample, ReloadSample, Reloads, RetrySample,
    ServiceCounter, ServiceSample, SourceSample, names,
};

/// A gateway's services and reload counters.
pub struct State {
    pub registry: Arc<Registry>,
    pub reloads: Arc<Reloads>,
    pub tasks: Arc<Tasks>,
    pub certificates: Arc<Certificates>,
    pub refused: Arc<RefusedConnections>,
    /// Of the control API.
    pub control: Arc<ControlRefusals>,
    /// Of the journal of overrides, if there is one.
    pub journal: Option<Arc<Counters>>,
    /// Of the audit, if there is one.
    pub audit: Option<Arc<AuditCounters>>,
}

impl MetricsSource for State {
    fn services(&self) -> Vec<ServiceSample> {
        self.registry.metrics().iter().map(service).collect()
    }

    fn rejected(&self) -> Vec<(Box<str>, RejectTotals)> {
        self.registry.rejections().by_route()
    }

    fn refused(&self) -> Vec<RefusedSample> {
        self.refused.samples()
    }

    fn control_refused(&self) -> Vec<(&'static str, u64)> {
        self.control.totals().into()
    }

    fn reloads(&self) -> ReloadSample {
        self.reloads.sample()
    }

    fn ended(&self, task: Task) -> u64 {
        self.tasks.count(task)
    }

    fn journal(&self) -> Option<JournalSample> {
        let counters = self.journal.as_ref()?;
        let failures = Failure::ALL.map(|failure| (failure.name(), counters.failures(failure)));
        Some(JournalSample { failures: failures.into(), up: counters.is_up() })
    }

    fn audit(&self) -> Option<AuditSample> {
        let counters = self.audit.as_ref()?;
        let failure = |failure: AuditFailure| (failure.name(), counters.failures(failure));
        Some(AuditSample { failures: AuditFailure::ALL.map(failure).into(), up: counters.is_up() })
    }

    fn certificates(&self) -> Arc<Vec<Certificate>> {
        self.certificates.all()
    }
}

fn service(ServiceMetrics { name, counts, view }: &ServiceMetrics) -> ServiceSample {
    let is_limited = view.spec.concurrency.as_ref().is_some_and(Concurrency::is_limited);
    ServiceSample {
        name: Arc::clone(name),
        counters: counters(counts),
        backends: backends(view),
        panics: (!view.backends.is_empty())
            .then(|| view.backends.iter().any(|backend| backend.condition.in_panic)),
        near_part: view.near_part,
        learned_limit: counts.learning.limit(),
        concurrency: is_limited.then(|| concurrency(counts)),
        retries: retries(counts, view),
        sources: sources(view),
        methods: counts.methods.all(),
    }
}

fn concurrency(ServiceCounters { permits, .. }: &ServiceCounters) -> ConcurrencySample {
    let (calls, waiting, streams) = (permits.calls(), permits.waiting(), permits.streams());
    ConcurrencySample { limit: permits.limit(), calls, waiting, streams }
}

/// Its source, and the names among its endpoints as one, which is up while all are.
fn sources(view: &ServiceView) -> Vec<SourceSample> {
    let source = view.source.iter().map(|source| sample_of(source.kind(), &source.status()));
    let names = view.names.values().map(|name| sample_of(NAME, &name.status()));
    let names = names.reduce(|one, other| SourceSample {
        kind: NAME,
        up: one.up && other.up,
        endpoints: one.endpoints + other.endpoints,
        last_success: one.last_success.zip(other.last_success).map(|(a, b)| a.min(b)),
        updates: one.updates + other.updates,
        errors: one.errors + other.errors,
    });
    source.chain(names).collect()
}

fn sample_of(kind: &'static str, status: &SourceStatus) -> SourceSample {
    let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).ok();
    SourceSample {
        kind,
        up: status.up,
        endpoints: status.endpoints,
        last_success: status.last_success.and_then(seconds).map(|at| at.as_secs_f64()),
        updates: status.updates,
        errors: status.errors,
    }
}

/// Its retries, once a request came by a route that has any.
fn retries(counts: &ServiceCounters, view: &ServiceView) -> Option<RetrySample> {
    let attempts = counts.retries.attempts();
    let budget_left = counts.retry_budget.left(view.spec.retry_budget, view.now());
    (attempts != [0; 8]).then_some(RetrySample { attempts, budget_left })
}

/// Counters of the service itself, apart from those of its backends.
fn counters(counts: &ServiceCounters) -> Vec<ServiceCounter> {
    let counter =
        |metric, labels, value| ServiceCounter { id: CounterId { metric, labels }, value };
    let mut counters = vec![
        counter(&names::UNIMPLEMENTED_RETRIES, Vec::new(), counts.unimplemented_retries.total()),
        counter(&names::WOULD_REFUSE, Vec::new(), counts.would_refuse.total()),
        counter(&names::DRAIN_CUTS, Vec::new(), counts.drain_cuts.total()),
    ];
    for (result, count) in counts.retries.totals().filter(|(_, count)| *count > 0) {
        counters.push(counter(&names::RETRIES, vec![result.name().into()], count));
    }
    for (result, count) in counts.retries.hedges().filter(|(_, count)| *count > 0) {
        counters.push(counter(&names::HEDGES, vec![result.name().into()], count));
    }
    for (expired, count) in counts.expired.totals().filter(|(_, count)| *count > 0) {
        let place = vec![expired.name().into()];
        counters.push(counter(&names::DEADLINE_EXCEEDED, place, count));
    }
    for (copied, copies) in
        MirrorOutcome::ALL.iter().zip(counts.copies.totals().into_iter().flatten())
    {
        counters.push(counter(&names::MIRRORED, vec![copied.name().into()], copies));
    }
    for (result, checks) in counts.checks.totals().filter(|(_, checks)| *checks > 0) {
        counters.push(counter(&names::HEALTH_CHECKS, vec![result.name().into()], checks));
    }
    for (cause, ejections) in counts.ejections.totals().filter(|(_, ejections)| *ejections > 0) {
        counters.push(counter(&names::EJECTIONS, vec![cause.into()], ejections));
    }
    for (route, totals) in counts.rejections.by_route() {
        let route: Arc<str> = route.into();
        let occurred = RejectReason::ALL.iter().zip(totals).filter(|(_, count)| *count > 0);
        counters.extend(occurred.map(|(reason, count)| {
            counter(&names::REJECTED, vec![Arc::clone(&route), reason.name().into()], count)
        }));
    }
    counters
}

/// One sample per name or address: its endpoints, together with earlier ones that have requests in
/// flight or were removed recently.
fn backends(view: &ServiceView) -> Vec<BackendSample> {
    let staying = view.backends.iter().map(|backend| sample(view, backend));
    let mut samples: Vec<BackendSample> = Vec::with_capacity(view.backends.len());
    let mut resolved: HashMap<Box<str>, usize> = HashMap::new();
    for (one, backend) in staying.zip(&view.backends) {
        let known = match backend.shared_by {
            1 => samples.len(),
            _ => *resolved.entry(backend.endpoint.address().into()).or_insert(samples.len()),
        };
        match samples.get_mut(known) {
            Some(name) => name.join(one),
            None => samples.push(one),
        }
    }
    if view.leaving.is_empty() && view.removed.is_empty() {
        return samples;
    }
    let by_address = samples.iter().map(|sample| sample.endpoint.address().into());
    let mut by_address: HashMap<Box<str>, usize> = by_address.zip(0..).collect();
    for gone in view.leaving.iter().rev() {
        let at = *by_address.entry(gone.endpoint.address().into()).or_insert(samples.len());
        match samples.get_mut(at) {
            Some(newer) => newer.before.push(Arc::clone(&gone.endpoint)),
            None => samples.push(sample(view, gone)),
        }
    }
    for gone in view.removed.iter().rev() {
        let at = *by_address.entry(gone.address().into()).or_insert(samples.len());
        match samples.get_mut(at) {
            Some(newer) => newer.before.push(Arc::clone(gone)),
            None => samples.push(left(view, gone)),
        }
    }
    samples
}

fn left(view: &ServiceView, endpoint: &Arc<Endpoint>) -> BackendSample {
    BackendSample {
        endpoint: Arc::clone(endpoint),
        before: Vec::new(),
        ewma: view.ewma.clone(),
        effective_weight: 0.0,
        up: None,
        state: None,
        recent: WindowStats::default(),
        at: view.now(),
        left: true,
    }
}

fn sample(view: &ServiceView, backend: &BackendView) -> BackendSample {
    let now = view.now();
    let standing = backend.standing(now);
    BackendSample {
        endpoint: Arc::clone(&backend.endpoint),
        before: Vec::new(),
        ewma: view.ewma.clone(),
        effective_weight: f64::from(standing.weight) * standing.ramp.unwrap_or(1.0)
            / f64::from(backend.shared_by),
        up: match standing.state {
            BackendState::Ready => Some(true),
            BackendState::Connecting
            | BackendState::Draining
            | BackendState::Unhealthy
            | BackendState::Ejected => Some(false),
            BackendState::Idle => None,
        },
        state: Some(standing.state.name()),
        recent: backend.recent.clone(),
        at: now,
        left: false,
    }
}
