//! What a page of metrics costs: `cargo bench --bench scrape`. Its size and the time of the processor,
//! which other processes alter less than the time by the clock, are printed first, and whether they
//! are within what a scrape may cost.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use equipoise::clock::Clock;
use equipoise::model::{
    Certificate, Code, Endpoint, EwmaParams, GrpcCode, MethodStats, RejectTotals, Time,
};
use equipoise::stats::{Direction, WindowStats};
use equipoise::tasks::Task;
use equipoise::telemetry::{
    AuditSample, BackendSample, CounterId, Encoding, Exporter, Format, JournalSample,
    MetricsSettings, MetricsSource, RefusedSample, ReloadSample, ServiceCounter, ServiceSample,
    names,
};

/// As the gateway has it.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a scrape of 2,000 busy backends may have before it is compressed.
const MOST_BYTES: usize = 10_000_000;
/// And the milliseconds of the processor that it may take.
const MOST_CPU: f64 = 50.0;

struct Fleet(Vec<ServiceSample>);

impl MetricsSource for Fleet {
    fn services(&self) -> Vec<ServiceSample> {
        self.0.clone()
    }

    fn rejected(&self) -> Vec<(Box<str>, RejectTotals)> {
        Vec::new()
    }

    fn refused(&self) -> Vec<RefusedSample> {
        Vec::new()
    }

    fn reloads(&self) -> ReloadSample {
        ReloadSample::default()
    }

    fn ended(&self, _: Task) -> u64 {
        0
    }

    fn control_refused(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    fn journal(&self) -> Option<JournalSample> {
        None
    }

    fn audit(&self) -> Option<AuditSample> {
        None
    }

    fn certificates(&self) -> Arc<Vec<Certificate>> {
        Arc::default()
    }
}

/// What a backend, or each method of a service, has had to do.
#[derive(Clone, Copy)]
struct Traffic {
    calls: u64,
    streams: u64,
    methods: usize,
}

const IDLE: Traffic = Traffic { calls: 0, streams: 0, methods: 0 };
const CALLS: Traffic = Traffic { calls: 1000, ..IDLE };
const STREAMS: Traffic = Traffic { streams: 10, ..CALLS };
const ONE_METHOD: Traffic = Traffic { methods: 1, ..CALLS };
const METHODS: Traffic = Traffic { methods: 5, ..CALLS };

fn backend(address: &str, traffic: Traffic) -> BackendSample {
    let calls = traffic.calls;
    let endpoint = Endpoint::new(address, 2, Time::ZERO);
    for call in 0..calls {
        let stats = endpoint.worker_stats(call as usize);
        let code = if call % 50 == 0 { GrpcCode::Unavailable } else { GrpcCode::Ok };
        stats.record_call(Code::Grpc(code), Duration::from_micros(500 + call * call));
        stats.record_start(Duration::from_micros(400 + call * call));
    }
    for stream in 0..traffic.streams {
        let stats = endpoint.worker_stats(stream as usize);
        stats.record_stream_opened();
        stats.count_messages(Direction::Request, 100 + stream);
        stats.count_messages(Direction::Response, 100 * stream);
        stats.record_stream_ended(Code::Grpc(GrpcCode::Ok));
    }
    let quantile = (calls > 0).then_some(0.0123);
    BackendSample {
        endpoint: Arc::new(endpoint),
        before: Vec::new(),
        ewma: EwmaParams::default(),
        effective_weight: 1.0,
        up: Some(true),
        state: None,
        at: Time::from_millis(60_000),
        left: false,
        recent: WindowStats {
            success_ratio: (calls > 0).then_some(0.98),
            p50: quantile,
            p90: quantile,
            p99: quantile,
            p999: quantile,
            ..WindowStats::default()
        },
    }
}

fn method(number: usize, traffic: Traffic) -> Arc<MethodStats> {
    let stats = MethodStats::new(&format!("shop.Orders/Method{number}"), 2);
    for call in 0..traffic.calls {
        let code = if call % 50 == 0 { GrpcCode::Unavailable } else { GrpcCode::Ok };
        stats.record_call(call as usize, code, Duration::from_micros(500 + call * call));
    }
    Arc::new(stats)
}

fn fleet(services: usize, members: usize, traffic: Traffic) -> Fleet {
    let address = |n: usize, m: usize| format!("10.{}.{}.{m}:50051", n / 250, n % 250);
    let service = |n: usize| ServiceSample {
        name: format!("service-{n}").into(),
        panics: Some(false),
        retries: None,
        near_part: None,
        learned_limit: None,
        concurrency: None,
        sources: Vec::new(),
        methods: (0..traffic.methods).map(|number| method(number, traffic)).collect(),
        counters: vec![ServiceCounter {
            id: CounterId { metric: &names::RETRIES, labels: vec!["success".into()] },
            value: 0,
        }],
        backends: (0..members).map(|m| backend(&address(n, m), traffic)).collect(),
    };
    Fleet((0..services).map(service).collect())
}

/// Milliseconds of the processor for a scrape.
fn cpu(scrape: impl Fn()) -> f64 {
    const SCRAPES: u32 = 50; // the system counts hundredths of a second
    let so_far = || metrics_process::collector::collect().cpu_seconds_total.unwrap();
    scrape(); // the first one learns names
    let before = so_far();
    (0..SCRAPES).for_each(|_| scrape());
    (so_far() - before) * 1e3 / f64::from(SCRAPES)
}

fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fleets = [
        ("idle 1000 x 20", (1000, 20, IDLE)),
        ("calls 100 x 20", (100, 20, CALLS)),
        ("calls and streams 100 x 20", (100, 20, STREAMS)),
        ("calls of 5 methods 100 x 20", (100, 20, METHODS)),
        ("calls 2000 x 1", (2000, 1, CALLS)),
        ("calls of 1 method 2000 x 1", (2000, 1, ONE_METHOD)),
        ("calls of 5 methods 2000 x 1", (2000, 1, METHODS)),
    ];
    for (name, (services, members, traffic)) in fleets {
        let fleet = fleet(services, members, traffic);
        let exporter =
            Exporter::new(fleet, vec![Arc::default()], MetricsSettings::default(), Clock::start());
        for format in [Format::Text, Format::Protobuf] {
            let scrape =
                |gzip| runtime.block_on(exporter.scrape(Encoding { format, gzip })).unwrap();
            let [plain, packed] = [false, true].map(|gzip| cpu(|| drop(scrape(gzip))));
            let [bytes, fewer] = [false, true].map(|gzip| scrape(gzip).len());
            let met = if bytes <= MOST_BYTES && plain <= MOST_CPU { "within" } else { "BEYOND" };
            println!(
                "{name}, {format:?}: {bytes} bytes, {plain:.1} ms of CPU, {met} {MOST_BYTES} and \
                 {MOST_CPU}; gzip: {fewer} bytes, {:.1} ms more",
                packed - plain
            );
            for gzip in [false, true] {
                let name = format!("{name}, {format:?}{}", if gzip { ", gzip" } else { "" });
                criterion.bench_function(&name, |bencher| bencher.iter(|| scrape(gzip)));
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = bench
}
criterion_main!(benches);
