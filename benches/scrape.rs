//! What a page of metrics costs: `cargo bench --bench scrape`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use equipoise::clock;
use equipoise::model::{
    Certificate, Code, Endpoint, EwmaParams, GrpcCode, RejectTotals, WindowStats,
};
use equipoise::tasks::Task;
use equipoise::telemetry::{
    BackendSample, Encoding, Exporter, Format, MetricsSettings, RefusedSample, ReloadSample,
    ServiceSample, Source,
};

struct Fleet(Vec<ServiceSample>);

impl Source for Fleet {
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

    fn certificates(&self) -> Arc<Vec<Certificate>> {
        Arc::default()
    }
}

fn backend(address: &str, calls: u64) -> BackendSample {
    let endpoint = Endpoint::new(address, 2, clock::now());
    for call in 0..calls {
        let stats = endpoint.worker_stats(call as usize);
        let code = if call % 50 == 0 { GrpcCode::Unavailable } else { GrpcCode::Ok };
        stats.record_call(Code::Grpc(code), Duration::from_micros(500 + call * call));
        stats.record_start(Duration::from_micros(400 + call * call));
    }
    let quantile = (calls > 0).then_some(0.0123);
    BackendSample {
        endpoint: Arc::new(endpoint),
        before: Vec::new(),
        ewma: EwmaParams::default(),
        effective_weight: 1,
        up: Some(true),
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

fn fleet(services: usize, members: usize, calls: u64) -> Fleet {
    let address = |n: usize, m: usize| format!("10.{}.{}.{m}:50051", n / 250, n % 250);
    let service = |n: usize| ServiceSample {
        name: format!("service-{n}").into(),
        counters: Vec::new(),
        backends: (0..members).map(|m| backend(&address(n, m), calls)).collect(),
    };
    Fleet((0..services).map(service).collect())
}

fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fleets = [("idle 1000 x 20", (1000, 20, 0)), ("busy 100 x 20", (100, 20, 1000))];
    for (name, (services, members, calls)) in fleets {
        let fleet = fleet(services, members, calls);
        let exporter = Exporter::new(fleet, vec![Arc::default()], MetricsSettings::default());
        for (format, gzip) in
            [(Format::Text, false), (Format::Text, true), (Format::Protobuf, true)]
        {
            let encoding = Encoding { format, gzip };
            let scrape = || runtime.block_on(exporter.scrape(encoding)).unwrap();
            println!("{name}, {encoding:?}: {} bytes", scrape().len());
            criterion.bench_function(&format!("{name}, {format:?}, gzip {gzip}"), |bencher| {
                bencher.iter(scrape);
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = bench
}
criterion_main!(benches);
