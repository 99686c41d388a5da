//! What the metrics are read from, and when.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::task::{JoinError, spawn_blocking};

use super::fold::{Fold, OTHER, Rest};
use super::names::{self, METRICS};
use super::page::Page;
use super::reloads::ReloadSample;
use super::worker::{Closed, Rejected, Side, WorkerMetrics};
use crate::clock;
use crate::model::{Copied, Direction, Endpoint, EwmaParams, Load, StatTotals, Time};

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
    /// Share of the last 30 s' requests that succeeded, if there were any.
    pub success_ratio: Option<f64>,
}

impl BackendSample {
    /// All that its labels speak of.
    pub(super) fn lives(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        std::iter::once(&self.endpoint).chain(&self.before)
    }

    /// A gauge that can be added up, over all of them.
    fn sum(&self, gauge: impl Fn(&Load) -> u32) -> u64 {
        self.lives().map(|endpoint| u64::from(gauge(endpoint.load()))).sum()
    }
}

/// A service as it is now.
#[derive(Clone, Debug)]
pub struct ServiceSample {
    /// Its name.
    pub name: Arc<str>,
    /// Retries since the start.
    pub retries: u64,
    /// Copies of requests that it got as a mirror, by how they ended, if there were any.
    pub copies: Option<[u64; Copied::ALL.len()]>,
    /// Every backend that it is configured with, eligible or not, and those that are leaving; no
    /// two at one address.
    pub backends: Vec<BackendSample>,
}

/// Where the exporter learns which services and backends there are.
pub trait Source: Send + Sync {
    /// All services. What is no longer among them is no longer exported.
    fn services(&self) -> Vec<ServiceSample>;

    /// The reloads of the configuration so far.
    fn reloads(&self) -> ReloadSample;
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
}

struct Scrape {
    begun: Time,
    text: Bytes,
}

impl Exporter {
    /// An exporter of `source`'s services and of what `workers` count, with `series_budget` label
    /// sets of each metric by name.
    pub fn new(
        source: impl Source + 'static,
        workers: Vec<Arc<WorkerMetrics>>,
        series_budget: usize,
    ) -> Exporter {
        let source = Box::new(source);
        let pages = Pages { fold: Fold::new(series_budget), last: None };
        Exporter {
            inputs: Arc::new(Inputs { source, workers }),
            pages: Arc::new(Mutex::new(pages)),
        }
    }

    /// The page of now, never one from before the call.
    ///
    /// One page is written at a time, on a thread where it delays nothing else, and those who
    /// asked before it was begun share it: many scrapers cost no more than one that never rests.
    ///
    /// # Errors
    /// If the runtime is shutting down.
    pub async fn scrape(&self) -> Result<Bytes, JoinError> {
        let asked = clock::now();
        let mut pages = Arc::clone(&self.pages).lock_owned().await;
        if let Some(scrape) = &pages.last
            && scrape.begun >= asked
        {
            return Ok(scrape.text.clone());
        }
        let inputs = Arc::clone(&self.inputs);
        // The lock goes with the work, which goes on if the caller leaves.
        let page = spawn_blocking(move || {
            let begun = clock::now();
            let text = Bytes::from(inputs.write(&mut pages.fold));
            pages.last = Some(Scrape { begun, text: text.clone() });
            text
        });
        page.await
    }
}

impl Inputs {
    fn write(&self, fold: &mut Fold) -> String {
        let mut page = Page::new();
        self.write_services(&mut page, fold);
        self.write_workers(&page);
        write_reloads(&page, self.source.reloads());
        write_process(&mut page);
        page.finish()
    }

    /// Each backend under its name while the budget lasts, then what has no name in sums.
    fn write_services(&self, page: &mut Page, fold: &mut Fold) {
        let services = self.source.services();
        let mut sums: BTreeMap<&str, GaugeSums> = BTreeMap::new();
        for (service, named) in services.iter().zip(fold.begin(&services)) {
            if let Some(retries) = fold.take_retries(service) {
                page.counter(&names::RETRIES, &[&service.name], retries);
            }
            if let Some(copies) = fold.take_copies(service) {
                write_copies(page, &service.name, copies);
            }
            let sum = if named.service { &*service.name } else { OTHER };
            for backend in &service.backends {
                match fold.take(&service.name, backend) {
                    Some(totals) => write_backend(page, &service.name, backend, &totals),
                    None => sums.entry(sum).or_default().add(backend),
                }
            }
        }
        for (service, rest) in fold.rests() {
            write_rest(page, service, rest, &sums.remove(service).unwrap_or_default());
        }
        write_folded(page, fold);
    }

    fn write_workers(&self, page: &Page) {
        page.gauge(&names::WORKERS, &[], self.workers.len() as f64);
        let sum = |read: &dyn Fn(&WorkerMetrics) -> u64| self.workers.iter().map(|w| read(w)).sum();
        for &reason in Rejected::ALL {
            let rejected = sum(&|worker| worker.rejected(reason));
            page.counter(&names::REJECTED, &[reason.name()], rejected);
        }
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

/// Of the gauges that can be added up, the sums over what has no name.
#[derive(Default)]
struct GaugeSums {
    weight: u64,
    in_flight: u64,
    open_streams: u64,
    up: u64,
}

impl GaugeSums {
    fn add(&mut self, backend: &BackendSample) {
        self.weight += u64::from(backend.effective_weight);
        self.in_flight += backend.sum(Load::calls);
        self.open_streams += backend.sum(|load| load.streams().count());
        self.up += u64::from(backend.up == Some(true));
    }
}

fn write_backend(page: &mut Page, service: &str, backend: &BackendSample, totals: &StatTotals) {
    let BackendSample { endpoint, ewma, .. } = backend;
    let labels = [service, endpoint.address()];
    write_totals(page, labels, totals);
    let load = endpoint.load();
    page.gauge(&names::BACKEND_WEIGHT, &labels, backend.effective_weight);
    page.gauge(&names::BACKEND_IN_FLIGHT, &labels, backend.sum(Load::calls) as f64);
    let open_streams = backend.sum(|load| load.streams().count());
    page.gauge(&names::BACKEND_OPEN_STREAMS, &labels, open_streams as f64);
    if let Some(age) = load.streams().mean_age(clock::now()) {
        page.gauge(&names::BACKEND_STREAM_AGE, &labels, age.as_secs_f64());
    }
    page.gauge(&names::BACKEND_EWMA, &labels, load.ewma_seconds(ewma));
    if let Some(up) = backend.up {
        page.gauge(&names::BACKEND_UP, &labels, u8::from(up));
    }
    if let Some(ratio) = backend.success_ratio {
        page.gauge(&names::BACKEND_SUCCESS_RATIO, &labels, ratio);
    }
}

/// Estimates and ratios have no sum, so they are not among these.
fn write_rest(page: &mut Page, service: &str, rest: &Rest, gauges: &GaugeSums) {
    let labels = [service, OTHER];
    write_totals(page, labels, &rest.totals);
    page.gauge(&names::BACKEND_WEIGHT, &labels, gauges.weight as f64);
    page.gauge(&names::BACKEND_IN_FLIGHT, &labels, gauges.in_flight as f64);
    page.gauge(&names::BACKEND_OPEN_STREAMS, &labels, gauges.open_streams as f64);
    page.gauge(&names::BACKEND_UP, &labels, gauges.up as f64);
    if service == OTHER {
        page.counter(&names::RETRIES, &[OTHER], rest.retries);
        if rest.copies.iter().any(|count| *count > 0) {
            write_copies(page, OTHER, rest.copies);
        }
    }
}

fn write_copies(page: &Page, service: &str, counts: [u64; Copied::ALL.len()]) {
    for (copied, count) in Copied::ALL.into_iter().zip(counts) {
        page.counter(&names::MIRRORED, &[service, copied.name()], count);
    }
}

fn write_totals(page: &mut Page, labels: [&str; 2], totals: &StatTotals) {
    for (protocol, code, count) in totals.codes() {
        let [service, backend] = labels;
        let code = code.to_string();
        let labels = [service, backend, protocol.name(), &code];
        page.counter(&names::REQUESTS, &labels, count);
    }
    let streams = &totals.streams;
    page.counter(&names::STREAMS_OPENED, &labels, streams.opened);
    page.counter(&names::STREAMS_ENDED, &labels, streams.ended);
    for (direction, messages) in Direction::ALL.into_iter().zip(streams.messages) {
        let [service, backend] = labels;
        page.counter(&names::STREAM_MESSAGES, &[service, backend, direction.name()], messages);
    }
    page.histogram(&names::REQUEST_DURATION, &labels, &totals.duration);
    page.histogram(&names::RESPONSE_START, &labels, &totals.start);
}

fn write_folded(page: &Page, fold: &Fold) {
    let folded = fold.folded();
    for metric in METRICS {
        let has = |label| metric.labels.contains(&label);
        let ways = if has("direction") { Direction::ALL.len() } else { 1 };
        let sets = match (has("service"), has("backend"), has("code")) {
            (true, true, true) => folded.codes,
            (true, true, false) => folded.backends * ways,
            (true, false, _) => folded.services,
            (false, ..) => continue,
        };
        page.gauge(&names::FOLDED, &[metric.name], sets as f64);
    }
}

fn write_reloads(page: &Page, reloads: ReloadSample) {
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
