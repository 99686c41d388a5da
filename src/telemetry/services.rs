//! Writes the metrics of services, backends and methods.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::cardinality::{Aggregate, Cardinality, OTHER};
use super::export::{BackendSample, CounterId, RetrySample, ServiceSample, SourceSample};
use super::names::{self, METRICS, Metric};
use super::page::{Labels, Page, Value};
use super::settings::ResponseStart;
use crate::model::{Code, Load, StatTotals};
use crate::stats::{Direction, HistogramCounts, WindowStats};

/// Time to the response head where it is exported by backend.
const RESPONSE_START_BY_BACKEND: Metric =
    Metric { labels: names::REQUEST_DURATION.labels, ..names::RESPONSE_START };

/// Writes services and backends with their own series while the budget lasts, and the aggregates of
/// the others.
pub(super) fn write(
    page: &mut Page,
    cardinality: &mut Cardinality,
    services: &[ServiceSample],
    start: ResponseStart,
    budget: usize,
) {
    let mut sums: BTreeMap<&str, GaugeSums> = BTreeMap::new();
    let mut folded_panics: Option<u32> = None;
    for (service, named) in services.iter().zip(cardinality.begin(services, budget)) {
        match service.panics.map(u8::from) {
            Some(panics) if named.service => {
                page.gauge(&names::SERVICE_PANIC, &[&*service.name], panics);
            }
            Some(panics) => *folded_panics.get_or_insert(0) += u32::from(panics),
            None => {}
        }
        if let Some(retries) = service.retries.filter(|_| named.service) {
            write_retries(page, &service.name, &retries);
        }
        if let Some(limit) = service.learned_limit.filter(|_| named.service) {
            page.gauge(&names::CONCURRENCY_LEARNED, &[&*service.name], limit);
        }
        if let Some(concurrency) = service.concurrency.filter(|_| named.service) {
            write_concurrency(page, &service.name, concurrency);
        }
        if let Some(part) = service.near_part.filter(|_| named.service) {
            page.gauge(&names::NEAR_REQUESTS, &[&*service.name], part);
        }
        for source in service.sources.iter().filter(|_| named.service) {
            write_source(page, &service.name, source);
        }
        for counter in &service.counters {
            if let Some(value) = cardinality.take_counter(&service.name, counter) {
                write_counter(page, &service.name, &counter.id, value);
            }
        }
        let sum = if named.service { &*service.name } else { OTHER };
        for (number, backend) in service.backends.iter().enumerate() {
            match cardinality.take_backend(&service.name, number) {
                Some(totals) => write_backend(page, &service.name, backend, &totals),
                None => sums.entry(sum).or_default().add(backend),
            }
        }
        if let Some(starts) = cardinality.take_starts(&service.name) {
            write_starts(page, &service.name, &starts);
        }
        let write = |method: &str, totals: &StatTotals| {
            write_method(page, &service.name, method, totals);
        };
        cardinality.take_methods(service, write);
    }
    for (service, rest) in cardinality.method_aggregates() {
        write_method(page, service, OTHER, rest);
    }
    for (service, rest) in cardinality.aggregates() {
        write_aggregate(page, service, rest, &sums.remove(service).unwrap_or_default(), start);
    }
    if let Some(panics) = folded_panics {
        page.gauge(&names::SERVICE_PANIC, &[OTHER], panics);
    }
    write_folded(page, cardinality);
}

/// Gauges that can be summed, over all folded backends.
#[derive(Default)]
struct GaugeSums {
    weight: f64,
    up: u64,
    load: LoadSums,
}

/// What is open; absent while there has been no traffic.
#[derive(Clone, Copy, Default)]
struct LoadSums {
    in_flight: u64,
    open_streams: u64,
}

impl GaugeSums {
    fn add(&mut self, backend: &BackendSample) {
        let load = LoadSums::of(backend);
        self.weight += backend.effective_weight;
        self.up += u64::from(backend.up == Some(true));
        self.load.in_flight += load.in_flight;
        self.load.open_streams += load.open_streams;
    }
}

impl LoadSums {
    fn of(backend: &BackendSample) -> LoadSums {
        LoadSums {
            in_flight: backend.sum(Load::calls),
            open_streams: backend.sum(|load| load.streams().count()),
        }
    }
}

fn backend_labels(page: &Page, service: &str, backend: &str) -> Labels {
    page.labels(&names::BACKEND_WEIGHT, &[service, backend])
}

fn gauge(page: &mut Page, metric: &Metric, labels: &Labels, value: f64) {
    page.number(metric, labels, &[], Value::Real(value));
}

fn histogram(page: &mut Page, metric: &Metric, labels: &Labels, counts: &HistogramCounts) {
    if !counts.is_empty() {
        page.histogram(metric, labels, counts);
    }
}

fn write_backend(page: &mut Page, service: &str, backend: &BackendSample, totals: &StatTotals) {
    let BackendSample { endpoint, ewma, recent, .. } = backend;
    let labels = backend_labels(page, service, endpoint.address());
    if !backend.left {
        gauge(page, &names::BACKEND_WEIGHT, &labels, backend.effective_weight);
    }
    if let Some(up) = backend.up {
        gauge(page, &names::BACKEND_UP, &labels, u8::from(up).into());
    }
    if let Some(state) = backend.state {
        page.number(&names::BACKEND_STATE, &labels, &[state], Value::Real(1.0));
    }
    let retried = backend.retried();
    if retried > 0 {
        page.number(&names::BACKEND_RETRIED, &labels, &[], Value::Whole(retried));
    }
    if !write_totals(page, &labels, totals, LoadSums::of(backend)) {
        return;
    }
    histogram(page, &RESPONSE_START_BY_BACKEND, &labels, &totals.start);
    if backend.left {
        return;
    }
    let load = endpoint.load();
    if let Some(age) = load.streams().mean_age(backend.at) {
        gauge(page, &names::BACKEND_STREAM_AGE, &labels, age.as_secs_f64());
    }
    gauge(page, &names::BACKEND_EWMA, &labels, load.ewma_seconds(ewma));
    if let Some(ratio) = recent.success_ratio {
        gauge(page, &names::BACKEND_SUCCESS_RATIO, &labels, ratio);
    }
    write_quantiles(page, &labels, recent);
}

fn write_quantiles(page: &mut Page, labels: &Labels, recent: &WindowStats) {
    let WindowStats { p50, p90, p99, p999, .. } = recent;
    for (quantile, value) in [("0.5", p50), ("0.9", p90), ("0.99", p99), ("0.999", p999)] {
        if let Some(value) = value {
            page.number(&names::BACKEND_LATENCY, labels, &[quantile], Value::Real(*value));
        }
    }
}

/// Writes an aggregate. States, estimates, ratios and quantiles cannot be summed, so they are left
/// out.
fn write_aggregate(
    page: &mut Page,
    service: &str,
    rest: &Aggregate,
    gauges: &GaugeSums,
    start: ResponseStart,
) {
    let labels = backend_labels(page, service, OTHER);
    gauge(page, &names::BACKEND_WEIGHT, &labels, gauges.weight);
    gauge(page, &names::BACKEND_UP, &labels, gauges.up as f64);
    write_totals(page, &labels, &rest.totals, gauges.load);
    for (id, value) in &rest.counters {
        write_counter(page, service, id, *value);
    }
    match start {
        ResponseStart::Service => write_starts(page, service, &rest.totals.start),
        _ => histogram(page, &RESPONSE_START_BY_BACKEND, &labels, &rest.totals.start),
    }
}

fn write_counter(page: &mut Page, service: &str, id: &CounterId, value: u64) {
    let labels = page.labels(id.metric, &[service]);
    let more: Vec<&str> = id.labels.iter().map(|label| &**label).collect();
    page.number(id.metric, &labels, &more, Value::Whole(value));
}

/// The requests in flight of a service with limits.
#[derive(Clone, Copy, Debug)]
pub struct ConcurrencySample {
    /// Calls that may be in flight, if that is limited.
    pub limit: Option<u32>,
    /// Calls in flight.
    pub calls: u32,
    /// Calls that wait.
    pub waiting: u32,
    /// Open streams.
    pub streams: u32,
}

fn write_concurrency(page: &mut Page, service: &str, sample: ConcurrencySample) {
    if let Some(limit) = sample.limit {
        page.gauge(&names::CONCURRENCY_LIMIT, &[service], limit);
    }
    page.gauge(&names::CONCURRENCY_CALLS, &[service], sample.calls);
    page.gauge(&names::CONCURRENCY_WAITING, &[service], sample.waiting);
    page.gauge(&names::CONCURRENCY_STREAMS, &[service], sample.streams);
}

fn write_retries(page: &mut Page, service: &str, retries: &RetrySample) {
    let labels = page.labels(&names::REQUEST_ATTEMPTS, &[service]);
    page.small_histogram(&names::REQUEST_ATTEMPTS, &labels, &retries.attempts);
    gauge(page, &names::RETRY_BUDGET_LEFT, &labels, retries.budget_left as f64);
}

fn write_source(page: &mut Page, service: &str, source: &SourceSample) {
    let labels = page.labels(&names::DISCOVERY_UP, &[service, source.kind]);
    gauge(page, &names::DISCOVERY_UP, &labels, u8::from(source.up).into());
    gauge(page, &names::DISCOVERY_ENDPOINTS, &labels, source.endpoints as f64);
    page.number(&names::DISCOVERY_UPDATES, &labels, &[], Value::Whole(source.updates));
    page.number(&names::DISCOVERY_ERRORS, &labels, &[], Value::Whole(source.errors));
    if let Some(at) = source.last_success {
        gauge(page, &names::DISCOVERY_LAST_SUCCESS, &labels, at);
    }
}

fn write_starts(page: &mut Page, service: &str, starts: &HistogramCounts) {
    let labels = page.labels(&names::RESPONSE_START, &[service]);
    histogram(page, &names::RESPONSE_START, &labels, starts);
}

fn write_method(page: &mut Page, service: &str, method: &str, totals: &StatTotals) {
    let labels = page.labels(&names::METHOD_DURATION, &[service, method]);
    for (_, code, count) in totals.codes() {
        page.number(&names::METHOD_REQUESTS, &labels, &[&*text(code)], Value::Whole(count));
    }
    histogram(page, &names::METHOD_DURATION, &labels, &totals.duration);
}

/// The value of the label `code`.
fn text(code: Code) -> Cow<'static, str> {
    match code {
        Code::Grpc(code) => code.name().into(),
        Code::Http(status) => status.to_string().into(),
    }
}

/// Writes traffic metrics; returns false if there was no traffic.
fn write_totals(page: &mut Page, labels: &Labels, totals: &StatTotals, load: LoadSums) -> bool {
    let mut busy = load.in_flight > 0;
    for (protocol, code, count) in totals.codes() {
        busy = true;
        let code = text(code);
        page.number(&names::REQUESTS, labels, &[protocol.name(), &*code], Value::Whole(count));
    }
    busy |= write_streams(page, labels, totals, load.open_streams);
    if busy {
        gauge(page, &names::BACKEND_IN_FLIGHT, labels, load.in_flight as f64);
    }
    histogram(page, &names::REQUEST_DURATION, labels, &totals.duration);
    busy
}

fn write_streams(page: &mut Page, labels: &Labels, totals: &StatTotals, open: u64) -> bool {
    let streams = &totals.streams;
    if streams.opened == 0 && open == 0 {
        return false;
    }
    gauge(page, &names::BACKEND_OPEN_STREAMS, labels, open as f64);
    page.number(&names::STREAMS_OPENED, labels, &[], Value::Whole(streams.opened));
    page.number(&names::STREAMS_ENDED, labels, &[], Value::Whole(streams.ended));
    for (direction, messages) in Direction::ALL.into_iter().zip(streams.messages) {
        let direction = [direction.name()];
        page.number(&names::STREAM_MESSAGES, labels, &direction, Value::Whole(messages));
    }
    true
}

fn write_folded(page: &mut Page, cardinality: &Cardinality) {
    let folded = cardinality.folded();
    for metric in METRICS {
        let has = |label| metric.labels.contains(&label);
        let ways = if has("direction") { Direction::ALL.len() } else { 1 };
        let sets = match (has("service"), has("backend"), has("code")) {
            (true, true, true) => folded.codes,
            (true, true, false) => folded.backends * ways,
            (true, false, true) => folded.method_codes,
            (true, false, false) if has("method") => folded.methods,
            (true, false, _) => folded.services,
            (false, ..) => continue,
        };
        page.gauge(&names::FOLDED, &[metric.name], sets as f64);
    }
}
