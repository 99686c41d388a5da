//! The metrics exporter: what it reads at a scrape, and how scrapes are serialized.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::task::{JoinError, spawn_blocking};

use super::audit::{self, AuditSample};
use super::cardinality::{Cardinality, OTHER, SeriesCost};
use super::encoding::{Encoding, Format};
use super::journal::{self, JournalSample};
use super::names::{self, METRICS, Metric};
use super::page::Page;
use super::refused::RefusedSample;
use super::reloads::{self, ReloadSample};
use super::services::ConcurrencySample;
use super::settings::MetricsSettings;
use super::worker::{CloseReason, Side, WorkerMetrics};
use crate::clock::Clock;
use crate::model::{
    Certificate, Class, ConnectionRefusal, Endpoint, EwmaParams, Load, MethodStats, RejectTotals,
    Time,
};
use crate::stats::WindowStats;
use crate::tasks::Task;

/// A backend at the time of the scrape.
#[derive(Clone, Debug)]
pub struct BackendSample {
    /// The endpoint, with its load and statistics.
    pub endpoint: Arc<Endpoint>,
    /// Earlier endpoints of the same address that still have requests in flight. Labels cannot tell
    /// them apart, so they are summed.
    pub before: Vec<Arc<Endpoint>>,
    /// The latency estimator's settings.
    pub ewma: EwmaParams,
    /// The weight used by the picker, or the part of it that a slow start leaves; 0 if the endpoint
    /// is not eligible.
    pub effective_weight: f64,
    /// Whether it may take new requests and can be reached; `None` if unknown.
    pub up: Option<bool>,
    /// The name of its state; `None` if it has been removed.
    pub state: Option<&'static str>,
    /// Statistics of the last 30 seconds.
    pub recent: WindowStats,
    /// When the sample was taken.
    pub at: Time,
    /// It has been removed: only its counters are exported, for some more minutes.
    pub left: bool,
}

impl BackendSample {
    /// Takes in another address of the same name; what cannot be summed is that of the better, busier one.
    pub fn join(&mut self, mut other: BackendSample) {
        let rank = |it: &BackendSample| (it.up, it.recent.requests);
        if rank(&other) > rank(self) {
            std::mem::swap(self, &mut other);
        }
        self.effective_weight += other.effective_weight;
        self.before.push(other.endpoint);
        self.before.append(&mut other.before);
    }

    /// All endpoints that share its labels.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        std::iter::once(&self.endpoint).chain(&self.before)
    }

    /// A gauge summed over them.
    pub(super) fn sum(&self, gauge: impl Fn(&Load) -> u32) -> u64 {
        self.endpoints().map(|endpoint| u64::from(gauge(endpoint.load()))).sum()
    }

    /// Failed attempts at them that were followed by another.
    pub(super) fn retried(&self) -> u64 {
        self.endpoints().map(|endpoint| endpoint.retried()).sum()
    }

    /// Whether it has connections, requests or streams open.
    pub(super) fn is_open(&self) -> bool {
        self.endpoints().any(|endpoint| !endpoint.load().is_idle())
    }
}

/// A service at the time of the scrape.
#[derive(Clone, Debug)]
pub struct ServiceSample {
    /// Its name.
    pub name: Arc<str>,
    /// Counters of the service itself, beside those of its backends.
    pub counters: Vec<ServiceCounter>,
    /// Every configured backend, eligible or not, and those being removed; addresses are unique.
    pub backends: Vec<BackendSample>,
    /// Whether it is in panic mode; `None` if it has no backends.
    pub panics: Option<bool>,
    /// The part of its requests that stays in the gateway's zone, if it prefers that.
    pub near_part: Option<f64>,
    /// The limit of calls that is learnt, if there is one now.
    pub learned_limit: Option<u32>,
    /// Its requests in flight, if they are limited.
    pub concurrency: Option<ConcurrencySample>,
    /// Requests by the attempts that they took, and the retry budget that is left, if any route of it
    /// retries.
    pub retries: Option<RetrySample>,
    /// The sources of its backends, and all names among its endpoints as one.
    pub sources: Vec<SourceSample>,
    /// Its methods; those beyond the limit are aggregated as `other`.
    pub methods: Vec<Arc<MethodStats>>,
}

/// Retries of a service at the time of the scrape.
#[derive(Clone, Copy, Debug)]
pub struct RetrySample {
    /// Requests that took 1, 2 and so on, and 8 or more attempts.
    pub attempts: [u64; 8],
    /// Retries that it may have now.
    pub budget_left: u64,
}

/// The source of a service's backends at the time of the scrape.
#[derive(Clone, Debug)]
pub struct SourceSample {
    /// The kind of source.
    pub kind: &'static str,
    /// Whether it answers.
    pub up: bool,
    /// Backends that it told of last.
    pub endpoints: usize,
    /// When it last answered, in Unix seconds.
    pub last_success: Option<f64>,
    /// How often it told of other backends.
    pub updates: u64,
    /// Failures, and entries that could not be used.
    pub errors: u64,
}

/// A counter of a service.
#[derive(Clone, Debug)]
pub struct ServiceCounter {
    /// Metric and labels.
    pub id: CounterId,
    /// Its value since the start.
    pub value: u64,
}

/// Identifies a counter of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterId {
    /// The metric; its first label is the service.
    pub metric: &'static Metric,
    /// The values of the other labels.
    pub labels: Vec<Arc<str>>,
}

impl CounterId {
    /// Its identity in the aggregate of all services, where the route label is blank.
    pub(super) fn summed(&self) -> CounterId {
        let names = self.metric.labels.iter().skip(1);
        let summed = |(name, value): (&&str, &Arc<str>)| match *name {
            "route" => OTHER.into(),
            _ => Arc::clone(value),
        };
        CounterId { metric: self.metric, labels: names.zip(&self.labels).map(summed).collect() }
    }
}

/// Where the exporter gets its samples from.
pub trait MetricsSource: Send + Sync {
    /// All services. A service that is no longer returned is no longer exported.
    fn services(&self) -> Vec<ServiceSample>;

    /// Requests rejected on routes without a service, by route.
    fn rejected(&self) -> Vec<(Box<str>, RejectTotals)>;

    /// Connections refused so far.
    fn refused(&self) -> Vec<RefusedSample>;

    /// What the control API has refused so far, by reason.
    fn control_refused(&self) -> Vec<(&'static str, u64)>;

    /// Configuration reloads so far.
    fn reloads(&self) -> ReloadSample;

    /// Unexpected ends of tasks of this kind.
    fn ended(&self, task: Task) -> u64;

    /// The journal of overrides, if there is one.
    fn journal(&self) -> Option<JournalSample>;

    /// The audit, if there is one.
    fn audit(&self) -> Option<AuditSample>;

    /// The certificates in use, unique by file and subject.
    fn certificates(&self) -> Arc<Vec<Certificate>>;
}

/// Collects all metrics and renders them for Prometheus.
#[derive(Clone)]
pub struct Exporter {
    inputs: Arc<Inputs>,
    pages: Arc<Mutex<Pages>>,
}

/// State that is kept between scrapes.
struct Pages {
    cardinality: Cardinality,
    last: Option<Scrape>,
}

struct Inputs {
    source: Box<dyn MetricsSource>,
    workers: Vec<Arc<WorkerMetrics>>,
    settings: MetricsSettings,
    clock: Clock,
}

struct Scrape {
    begun: Time,
    encoding: Encoding,
    body: Bytes,
}

impl Exporter {
    /// Exports the services of `source` and the counters of `workers`.
    pub fn new(
        source: impl MetricsSource + 'static,
        workers: Vec<Arc<WorkerMetrics>>,
        settings: MetricsSettings,
        clock: Clock,
    ) -> Exporter {
        let source = Box::new(source);
        let pages = Pages { cardinality: Cardinality::new(SeriesCost::new(&settings)), last: None };
        Exporter {
            inputs: Arc::new(Inputs { source, workers, settings, clock }),
            pages: Arc::new(Mutex::new(pages)),
        }
    }

    /// Renders a page; it never shows values from before the call.
    ///
    /// One page is rendered at a time, on a blocking thread, and concurrent requests for the same
    /// encoding share one that had not begun: many scrapers cost no more than one that scrapes
    /// continuously.
    ///
    /// # Errors
    /// If the runtime is shutting down.
    pub async fn scrape(&self, encoding: Encoding) -> Result<Bytes, JoinError> {
        let asked = self.inputs.clock.now();
        let mut pages = Arc::clone(&self.pages).lock_owned().await;
        if let Some(scrape) = &pages.last
            && scrape.begun >= asked
            && scrape.encoding == encoding
        {
            return Ok(scrape.body.clone());
        }
        let inputs = Arc::clone(&self.inputs);
        // The lock moves into the blocking task, which outlives a caller that disconnects.
        let page = spawn_blocking(move || {
            let begun = inputs.clock.now();
            let page = inputs.write(&mut pages.cardinality, encoding.format);
            let body = Bytes::from(encoding.encode(page));
            pages.last = Some(Scrape { begun, encoding, body: body.clone() });
            body
        });
        page.await
    }
}

impl Inputs {
    fn write(&self, cardinality: &mut Cardinality, format: Format) -> Vec<u8> {
        let mut page = Page::new(&self.settings, format);
        self.write_workers(&mut page);
        write_refused(&mut page, &self.source.refused());
        super::control::write(&mut page, self.source.control_refused());
        reloads::write(&mut page, self.source.reloads());
        super::process::write(&mut page, &*self.source);
        journal::write(&mut page, self.source.journal());
        audit::write(&mut page, self.source.audit());
        super::process::write_system(&mut page);
        let own = page.series() + METRICS.len(); // aggregates need at most one a metric
        let left = self.settings.series_budget.saturating_sub(own);
        let start = self.settings.response_start;
        super::services::write(&mut page, cardinality, &self.source.services(), start, left);
        page.finish()
    }

    fn write_workers(&self, page: &mut Page) {
        page.gauge(&names::WORKERS, &[], self.workers.len() as f64);
        let sum = |read: &dyn Fn(&WorkerMetrics) -> u64| self.workers.iter().map(|w| read(w)).sum();
        let outcomes = Class::ALL.map(|class| (class, sum(&|worker| worker.outcomes(class))));
        // Outcomes are read before `accepted`, so that no more requests have ended than have come.
        let accepted = sum(&|worker| worker.accepted());
        let over: u64 = outcomes.iter().map(|(_, count)| count).sum();
        page.counter(&names::ACCEPTED, &[], accepted);
        for (class, count) in outcomes {
            page.counter(&names::OUTCOMES, &[class.name()], count);
        }
        page.gauge(&names::OPEN_EXCHANGES, &[], accepted.saturating_sub(over) as f64);
        let unrouted = |reason| sum(&|worker| worker.rejected(reason));
        super::rejected::write(page, unrouted, &self.source.rejected());
        for &side in Side::ALL {
            let open: u64 = sum(&|worker| worker.open(side));
            page.gauge(&names::CONNECTIONS, &[side.name()], open as f64);
            for &reason in CloseReason::ALL {
                let closed = sum(&|worker| worker.closed(side, reason));
                let labels = [side.name(), reason.name()];
                page.counter(&names::CONNECTIONS_CLOSED, &labels, closed);
            }
        }
    }
}

fn write_refused(page: &mut Page, listeners: &[RefusedSample]) {
    for RefusedSample { listener, refusals } in listeners {
        for (why, count) in ConnectionRefusal::ALL.into_iter().zip(refusals.totals()) {
            page.counter(&names::CONNECTIONS_REFUSED, &[listener, why.name()], count);
        }
    }
}
