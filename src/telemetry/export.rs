//! What the metrics are read from, and when.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::task::{JoinError, spawn_blocking};

use super::names;
use super::page::Page;
use super::worker::{Closed, Rejected, Side, WorkerMetrics};
use crate::clock;
use crate::model::{Endpoint, EwmaParams, Time};

/// All twenty bounds to a decade are exported here, 12 % apart: quantiles are to be within 10 %.
const DURATION_STEP: usize = 1;
/// Five to a decade: 58 % apart.
const START_STEP: usize = 4;

/// A backend as it is now.
#[derive(Clone, Debug)]
pub struct BackendSample {
    /// The instance, with its load and statistics.
    pub endpoint: Arc<Endpoint>,
    /// How its latency estimate is kept.
    pub ewma: EwmaParams,
    /// The weight that the picker uses; 0 if it is not eligible.
    pub effective_weight: u32,
    /// Whether it may take new requests.
    pub up: bool,
    /// Share of the last 30 s' requests that succeeded, if there were any.
    pub success_ratio: Option<f64>,
}

/// A service as it is now.
#[derive(Clone, Debug)]
pub struct ServiceSample {
    /// Its name.
    pub name: Arc<str>,
    /// Retries since the start.
    pub retries: u64,
    /// Every backend that it is configured with, eligible or not.
    pub backends: Vec<BackendSample>,
}

/// Where the exporter learns which services and backends there are.
pub trait Source: Send + Sync {
    /// All services. What is no longer among them is no longer exported.
    fn services(&self) -> Vec<ServiceSample>;
}

/// Reads everything that is counted and writes it as Prometheus wants it.
#[derive(Clone)]
pub struct Exporter {
    inputs: Arc<Inputs>,
    last: Arc<Mutex<Option<Scrape>>>,
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
    /// An exporter of `source`'s services and of what `workers` count.
    pub fn new(source: impl Source + 'static, workers: Vec<Arc<WorkerMetrics>>) -> Exporter {
        let source = Box::new(source);
        Exporter { inputs: Arc::new(Inputs { source, workers }), last: Arc::default() }
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
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some(scrape) = &*last
            && scrape.begun >= asked
        {
            return Ok(scrape.text.clone());
        }
        let inputs = Arc::clone(&self.inputs);
        // The lock goes with the work, which goes on if the caller leaves.
        let page = spawn_blocking(move || {
            let begun = clock::now();
            let text = Bytes::from(inputs.write());
            *last = Some(Scrape { begun, text: text.clone() });
            text
        });
        page.await
    }
}

impl Inputs {
    fn write(&self) -> String {
        let mut page = Page::new();
        for service in self.source.services() {
            page.counter(&names::RETRIES, &[&service.name], service.retries);
            for backend in &service.backends {
                write_backend(&mut page, &service.name, backend);
            }
        }
        self.write_workers(&page);
        write_process(&mut page);
        page.finish()
    }

    fn write_workers(&self, page: &Page) {
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

fn write_backend(page: &mut Page, service: &str, backend: &BackendSample) {
    let BackendSample { endpoint, ewma, .. } = backend;
    let labels = [service, endpoint.address()];
    let totals = endpoint.totals();
    for (protocol, code, count) in totals.codes() {
        let [service, backend] = labels;
        let code = code.to_string();
        let labels = [service, backend, protocol.name(), &code];
        page.counter(&names::REQUESTS, &labels, count);
    }
    page.histogram(&names::REQUEST_DURATION, &labels, &totals.duration, DURATION_STEP);
    page.histogram(&names::RESPONSE_START, &labels, &totals.start, START_STEP);
    let load = endpoint.load();
    page.gauge(&names::BACKEND_WEIGHT, &labels, backend.effective_weight);
    page.gauge(&names::BACKEND_IN_FLIGHT, &labels, load.in_flight());
    page.gauge(&names::BACKEND_EWMA, &labels, load.ewma_seconds(clock::now(), ewma));
    page.gauge(&names::BACKEND_UP, &labels, u8::from(backend.up));
    if let Some(ratio) = backend.success_ratio {
        page.gauge(&names::BACKEND_SUCCESS_RATIO, &labels, ratio);
    }
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
