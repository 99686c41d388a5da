//! What the metrics are read from, and when.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::task::{JoinError, spawn_blocking};

use super::encoding::{Encoding, Format};
use super::fold::{Fold, OTHER};
use super::names::{self, METRICS, Metric};
use super::own;
use super::page::Page;
use super::refused::RefusedSample;
use super::rejected;
use super::reloads::ReloadSample;
use super::series::Prices;
use super::services;
use super::settings::MetricsSettings;
use super::worker::{Closed, Side, WorkerMetrics};
use crate::clock::Clock;
use crate::model::{
    Certificate, Class, Endpoint, EwmaParams, Load, MethodStats, Refusal, RejectTotals, Time,
};
use crate::stats::WindowStats;
use crate::tasks::Task;

/// A backend as it is now.
#[derive(Clone, Debug)]
pub struct BackendSample {
    /// The instance, with its load and statistics.
    pub endpoint: Arc<Endpoint>,
    /// Those that were at its address before it and still have requests in flight. Labels cannot
    /// tell them apart, so they are added up.
    pub before: Vec<Arc<Endpoint>>,
    /// How its latency estimate is kept.
    pub ewma: EwmaParams,
    /// The weight that the picker uses; 0 if it is not eligible.
    pub effective_weight: u32,
    /// Whether it may take new requests, and can be reached; `None` where that is not known.
    pub up: Option<bool>,
    /// The name of its state, if that is one in which a backend gets no new requests.
    pub out: Option<&'static str>,
    /// The last 30 seconds.
    pub recent: WindowStats,
    /// When it was looked at.
    pub at: Time,
    /// It has left: what it counted is told for some minutes more, and nothing else.
    pub left: bool,
}

impl BackendSample {
    /// All that its labels speak of.
    pub(super) fn lives(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        std::iter::once(&self.endpoint).chain(&self.before)
    }

    /// A gauge that can be added up, over all of them.
    pub(super) fn sum(&self, gauge: impl Fn(&Load) -> u32) -> u64 {
        self.lives().map(|endpoint| u64::from(gauge(endpoint.load()))).sum()
    }

    /// Whether something is open to it.
    pub(super) fn is_open(&self) -> bool {
        self.lives().any(|endpoint| !endpoint.load().is_idle())
    }
}

/// A service as it is now.
#[derive(Clone, Debug)]
pub struct ServiceSample {
    /// Its name.
    pub name: Arc<str>,
    /// What is counted of it since the start beside what its backends count.
    pub counters: Vec<ServiceCounter>,
    /// Every backend that it is configured with, eligible or not, and those that are leaving; no
    /// two at one address.
    pub backends: Vec<BackendSample>,
    /// Its methods; what has no name of its own is called `other`.
    pub methods: Vec<Arc<MethodStats>>,
}

/// A counter of a service.
#[derive(Clone, Debug)]
pub struct ServiceCounter {
    /// Which one it is.
    pub id: CounterId,
    /// Its value since the start.
    pub value: u64,
}

/// Which of a service's counters one is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterId {
    /// The metric, whose first label is the service.
    pub metric: &'static Metric,
    /// The values of the other labels.
    pub labels: Vec<Arc<str>>,
}

impl CounterId {
    /// What it is added up under beside those of other services: their routes have no names there.
    pub(super) fn summed(&self) -> CounterId {
        let names = self.metric.labels.iter().skip(1);
        let summed = |(name, value): (&&str, &Arc<str>)| match *name {
            "route" => OTHER.into(),
            _ => Arc::clone(value),
        };
        CounterId { metric: self.metric, labels: names.zip(&self.labels).map(summed).collect() }
    }
}

/// Where the exporter learns which services and backends there are.
pub trait Source: Send + Sync {
    /// All services. What is no longer among them is no longer exported.
    fn services(&self) -> Vec<ServiceSample>;

    /// Requests that were refused on routes that lead to no service, by route.
    fn rejected(&self) -> Vec<(Box<str>, RejectTotals)>;

    /// The connections that were refused so far.
    fn refused(&self) -> Vec<RefusedSample>;

    /// The reloads of the configuration so far.
    fn reloads(&self) -> ReloadSample;

    /// Tasks of this kind that have ended although nobody asked for it.
    fn ended(&self, task: Task) -> u64;

    /// The certificates that are used, each file and subject once.
    fn certificates(&self) -> Arc<Vec<Certificate>>;
}

/// Reads everything that is counted and writes it as Prometheus wants it.
#[derive(Clone)]
pub struct Exporter {
    inputs: Arc<Inputs>,
    pages: Arc<Mutex<Pages>>,
}

/// What is kept from page to page.
struct Pages {
    fold: Fold,
    last: Option<Scrape>,
}

struct Inputs {
    source: Box<dyn Source>,
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
    /// An exporter of `source`'s services and of what `workers` count.
    pub fn new(
        source: impl Source + 'static,
        workers: Vec<Arc<WorkerMetrics>>,
        settings: MetricsSettings,
        clock: Clock,
    ) -> Exporter {
        let source = Box::new(source);
        let pages = Pages { fold: Fold::new(Prices::new(&settings)), last: None };
        Exporter {
            inputs: Arc::new(Inputs { source, workers, settings, clock }),
            pages: Arc::new(Mutex::new(pages)),
        }
    }

    /// The page of now, never one from before the call.
    ///
    /// One page is written at a time, on a thread where it delays nothing else, and those who
    /// asked for the same before it was begun share it: many scrapers cost no more than one that
    /// never rests.
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
        // The lock goes with the work, which goes on if the caller leaves.
        let page = spawn_blocking(move || {
            let begun = inputs.clock.now();
            let page = inputs.write(&mut pages.fold, encoding.format);
            let body = Bytes::from(encoding.encode(page));
            pages.last = Some(Scrape { begun, encoding, body: body.clone() });
            body
        });
        page.await
    }
}

impl Inputs {
    fn write(&self, fold: &mut Fold, format: Format) -> Vec<u8> {
        let mut page = Page::new(&self.settings, format);
        self.write_workers(&mut page);
        write_refused(&mut page, &self.source.refused());
        write_reloads(&mut page, self.source.reloads());
        own::write(&mut page, &*self.source);
        write_process(&mut page);
        let own = page.series() + METRICS.len(); // what is folded is told of each at most
        let left = self.settings.series_budget.saturating_sub(own);
        let start = self.settings.response_start;
        services::write(&mut page, fold, &self.source.services(), start, left);
        page.finish()
    }

    fn write_workers(&self, page: &mut Page) {
        page.gauge(&names::WORKERS, &[], self.workers.len() as f64);
        let sum = |read: &dyn Fn(&WorkerMetrics) -> u64| self.workers.iter().map(|w| read(w)).sum();
        let outcomes = Class::ALL.map(|class| (class, sum(&|worker| worker.outcomes(class))));
        // Read after them, so that none seems to be over that did not come.
        let accepted = sum(&|worker| worker.accepted());
        let over: u64 = outcomes.iter().map(|(_, count)| count).sum();
        page.counter(&names::ACCEPTED, &[], accepted);
        for (class, count) in outcomes {
            page.counter(&names::OUTCOMES, &[class.name()], count);
        }
        page.gauge(&names::OPEN_EXCHANGES, &[], accepted.saturating_sub(over) as f64);
        let unrouted = |reason| sum(&|worker| worker.rejected(reason));
        rejected::write(page, unrouted, &self.source.rejected());
        for &side in Side::ALL {
            let open: u64 = sum(&|worker| worker.open(side));
            page.gauge(&names::CONNECTIONS, &[side.name()], open as f64);
            for &reason in Closed::ALL {
                let closed = sum(&|worker| worker.closed(side, reason));
                let labels = [side.name(), reason.name()];
                page.counter(&names::CONNECTIONS_CLOSED, &labels, closed);
            }
        }
    }
}

fn write_refused(page: &mut Page, listeners: &[RefusedSample]) {
    for RefusedSample { listener, refusals } in listeners {
        for (why, count) in Refusal::ALL.into_iter().zip(refusals.totals()) {
            page.counter(&names::CONNECTIONS_REFUSED, &[listener, why.name()], count);
        }
    }
}

fn write_reloads(page: &mut Page, reloads: ReloadSample) {
    page.counter(&names::CONFIG_RELOADS, &["success"], reloads.succeeded);
    page.counter(&names::CONFIG_RELOADS, &["error"], reloads.failed);
    page.gauge(&names::CONFIG_LOADED, &[], reloads.last_success);
    page.gauge(&names::CONFIG_IN_SYNC, &[], u8::from(reloads.in_sync));
    page.gauge(&names::CONFIG_RESTART_NEEDED, &[], u8::from(reloads.restart_needed));
}

fn write_process(page: &mut Page) {
    page.gauge(&names::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1);
    let process = metrics_process::collector::collect();
    if let Some(seconds) = process.cpu_seconds_total {
        page.fractional_counter(&names::PROCESS_CPU, seconds);
    }
    let gauges = [
        (&names::PROCESS_RESIDENT, process.resident_memory_bytes),
        (&names::PROCESS_OPEN_FDS, process.open_fds),
        (&names::PROCESS_MAX_FDS, process.max_fds),
        (&names::PROCESS_THREADS, process.threads),
        (&names::PROCESS_START, process.start_time_seconds),
    ];
    for (metric, value) in gauges {
        if let Some(value) = value {
            page.gauge(metric, &[], value as f64);
        }
    }
}
