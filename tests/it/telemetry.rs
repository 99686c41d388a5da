//! Real scrapes of the metrics endpoint.

mod budget;
mod dashboard;
mod formats;
mod guarded;
mod lives;
pub mod page;
mod pictures;
mod rules;
mod size;
mod strangers;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use equipoise::clock::Clock;
use equipoise::model::{
    Certificate, Code, ConnectionRefusal, Endpoint, EwmaParams, ExchangeClass, GRPC_CODES,
    GrpcCode, MethodStats, RejectReason, RejectTotals, Time, WorkerStats,
};
use equipoise::stats::{Direction, WindowStats};
use equipoise::tasks::Task;
use equipoise::telemetry::names::{
    DEADLINE_EXCEEDED, DRAIN_CUTS, EJECTIONS, HEALTH_CHECKS, HEDGES, METRICS, MIRRORED, Metric,
    REJECTED, RETRIES, UNIMPLEMENTED_RETRIES, WOULD_REFUSE,
};
use equipoise::telemetry::{
    AuditSample, BackendSample, CloseReason, ConcurrencySample, CounterId, Encoding, Exporter,
    Format, Health, JournalSample, MetricsSettings, MetricsSource, Readiness, RefusedConnections,
    RefusedSample, ReloadSample, RetrySample, Server, ServiceCounter, ServiceSample, Side,
    SourceSample, WorkerMetrics,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use page::Page;

/// The connection limit of the port.
const MAX_CONNECTIONS: usize = 64;
const OK: Code = Code::Grpc(GrpcCode::Ok);
const FAILED: Code = Code::Grpc(GrpcCode::Unavailable);

fn backend(address: &str) -> BackendSample {
    let ewma = EwmaParams::default();
    BackendSample {
        endpoint: Arc::new(Endpoint::new(address, 2, Time::ZERO)),
        before: Vec::new(),
        ewma,
        effective_weight: 3.0,
        up: Some(true),
        state: None,
        recent: WindowStats::default(),
        at: Time::from_millis(60_000),
        left: false,
    }
}

fn service(name: &str, backends: Vec<BackendSample>) -> ServiceSample {
    let (counters, methods) = (Vec::new(), Vec::new());
    ServiceSample {
        name: name.into(),
        counters,
        backends,
        panics: Some(false),
        retries: None,
        near_part: None,
        learned_limit: None,
        concurrency: None,
        sources: Vec::new(),
        methods,
    }
}

/// A method that was called once.
fn called(name: &str) -> Arc<MethodStats> {
    let method = MethodStats::new(name, 2);
    method.record_call(1, GrpcCode::Ok, Duration::from_millis(20));
    Arc::new(method)
}

fn recent(success_ratio: Option<f64>, [p50, p90, p99, p999]: [Option<f64>; 4]) -> WindowStats {
    WindowStats { success_ratio, p50, p90, p99, p999, ..WindowStats::default() }
}

fn counter(metric: &'static Metric, labels: &[&str], value: u64) -> ServiceCounter {
    let labels = labels.iter().map(|label| (*label).into()).collect();
    ServiceCounter { id: CounterId { metric, labels }, value }
}

/// Totals with this many rejections for this reason.
fn rejected(reason: RejectReason, count: u64) -> RejectTotals {
    let mut totals = RejectTotals::default();
    totals[reason as usize] = count;
    totals
}

fn rejections(page: &Page, [service, route, reason]: [&str; 3]) -> f64 {
    let labels = [("service", service), ("route", route), ("reason", reason)];
    page.value("equipoise_rejected_total", &labels)
}

/// Services that a test can change.
#[derive(Clone, Default)]
struct Services(Arc<Mutex<Vec<ServiceSample>>>);

impl MetricsSource for Services {
    fn services(&self) -> Vec<ServiceSample> {
        self.0.lock().unwrap().clone()
    }

    fn rejected(&self) -> Vec<(Box<str>, RejectTotals)> {
        vec![("moved".into(), rejected(RejectReason::Malformed, 3))]
    }

    fn refused(&self) -> Vec<RefusedSample> {
        let refused = RefusedConnections::default();
        let at = refused.at("127.0.0.1:8080");
        at.count(ConnectionRefusal::MaxConnections);
        refused.samples()
    }

    fn reloads(&self) -> ReloadSample {
        ReloadSample {
            succeeded: 2,
            failed: 1,
            last_success: 1.5e9,
            in_sync: false,
            restart_needed: true,
        }
    }

    fn ended(&self, _: Task) -> u64 {
        0
    }

    fn control_refused(&self) -> Vec<(&'static str, u64)> {
        vec![("denied", 3)]
    }

    fn journal(&self) -> Option<JournalSample> {
        Some(JournalSample { failures: vec![("sync", 2), ("torn", 0)], up: false })
    }

    fn audit(&self) -> Option<AuditSample> {
        Some(AuditSample { failures: vec![("write", 2), ("lost", 0)], up: false })
    }

    fn certificates(&self) -> Arc<Vec<Certificate>> {
        let [file, subject] = ["tls/a.pem", "CN=\"a\\b\""].map(String::from);
        Arc::new(vec![Certificate {
            file,
            subject,
            not_before: 0,
            not_after: 2_000_000_000,
            is_list: false,
        }])
    }
}

struct Gateway {
    address: SocketAddr,
    services: Services,
    worker: Arc<WorkerMetrics>,
    readiness: watch::Sender<Readiness>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Gateway {
    async fn start(services: Vec<ServiceSample>) -> Gateway {
        Gateway::with(services, MetricsSettings::default()).await
    }

    async fn with_budget(services: Vec<ServiceSample>, series_budget: usize) -> Gateway {
        let settings = MetricsSettings { series_budget, ..MetricsSettings::default() };
        Gateway::with(services, settings).await
    }

    async fn with(services: Vec<ServiceSample>, settings: MetricsSettings) -> Gateway {
        let services = Services(Arc::new(Mutex::new(services)));
        let worker = Arc::new(WorkerMetrics::default());
        let workers = vec![Arc::clone(&worker), Arc::default()];
        let exporter = Exporter::new(services.clone(), workers, settings, Clock::start());
        Gateway::of(services, worker, exporter).await
    }

    async fn of(services: Services, worker: Arc<WorkerMetrics>, exporter: Exporter) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, ready) = watch::channel(Readiness::Starting);
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let server = Server {
            exporter,
            health: Health::default(),
            readiness: ready,
            max_connections: MAX_CONNECTIONS,
            entrance: Arc::default(),
            refusals: Arc::default(),
            clock: Clock::start(),
        };
        let served = tokio::spawn(server.run(crate::support::clients(listener), stopped));
        Gateway { address, services, worker, readiness, stop, served }
    }

    async fn request(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{head}\r\nHost: gateway\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    /// Head and body of a page, requested with these fields.
    async fn page(&self, fields: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET /metrics HTTP/1.0\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let body = response.split_off(end + 4);
        (String::from_utf8(response).unwrap(), body)
    }

    async fn scrape(&self) -> Page {
        let response = self.request("GET /metrics HTTP/1.1").await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        Page::parse(body)
    }
}

fn stats(backend: &BackendSample) -> &WorkerStats {
    backend.endpoint.worker_stats(0)
}

/// One of each of a service's counters other than its backends'.
fn of_a_service() -> Vec<ServiceCounter> {
    vec![
        counter(&RETRIES, &["success"], 7),
        counter(&HEDGES, &["won"], 4),
        counter(&UNIMPLEMENTED_RETRIES, &[], 5),
        counter(&DRAIN_CUTS, &[], 3),
        counter(&WOULD_REFUSE, &[], 6),
        counter(&MIRRORED, &["slow"], 3),
        counter(&EJECTIONS, &["faults"], 2),
        counter(&HEALTH_CHECKS, &["timeout"], 2),
        counter(&DEADLINE_EXCEEDED, &["head"], 2),
        counter(&REJECTED, &["all", "connect"], 4),
    ]
}

fn assert_attempts(page: &Page) {
    let here = [("service", "orders")];
    assert_eq!(page.value("equipoise_retry_budget_left", &here), 98.0);
    let attempts = |le| page.value("equipoise_request_attempts_bucket", &[here[0], ("le", le)]);
    assert_eq!(["1", "2", "3", "+Inf"].map(attempts), [5.0, 7.0, 7.0, 8.0]);
    assert_eq!(page.value("equipoise_request_attempts_sum", &here), 13.0);
    assert_eq!(page.value("equipoise_unimplemented_retries_total", &here), 5.0);
    let slow = [here[0], ("result", "slow")];
    assert_eq!(page.value("equipoise_mirrored_total", &slow), 3.0);
    let waiting = [here[0], ("where", "head")];
    assert_eq!(page.value("equipoise_deadline_exceeded_total", &waiting), 2.0);
    let rejected = |service, route, reason| rejections(page, [service, route, reason]);
    assert_eq!(rejected("", "", "no_route"), 1.0);
    assert_eq!(rejected("", "", "malformed"), 0.0);
    assert_eq!(rejected("", "moved", "malformed"), 3.0);
    assert_eq!(rejected("orders", "all", "connect"), 4.0);
    assert_eq!(page.value("equipoise_connections", &[("side", "downstream")]), 1.0);
    let pings = [("side", "downstream"), ("reason", "pings")];
    assert_eq!(page.value("equipoise_connections_closed_total", &pings), 1.0);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(page.value("equipoise_build_info", &version), 1.0);
    assert!(page.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(page.value("process_start_time_seconds", &[]) > 1.7e9);
}

fn assert_concurrency(page: &Page) {
    let concurrency = ["limit", "learned_limit", "calls", "waiting", "streams"];
    let concurrency = concurrency
        .map(|of| page.value(&format!("equipoise_concurrency_{of}"), &[("service", "orders")]));
    assert_eq!(concurrency, [12.0, 15.0, 7.0, 3.0, 2.0]);
}

/// Asserts that every metric has its declared type, help text and labels.
fn assert_as_declared(page: &Page) {
    for Metric { name, kind, help, labels } in METRICS {
        let family = page.0.get(*name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(family.kind, kind.name(), "{name}");
        assert_eq!(family.help, *help, "{name}");
        for sample in &family.samples {
            let mut found: Vec<&str> = sample.labels.keys().map(String::as_str).collect();
            found.retain(|label| *label != "le");
            let mut declared = labels.to_vec();
            declared.sort_unstable();
            assert_eq!(found, declared, "{name}");
        }
    }
}

fn source() -> SourceSample {
    let (endpoints, updates, errors) = (4, 3, 2);
    SourceSample { kind: "file", up: true, endpoints, last_success: Some(1.5), updates, errors }
}

#[tokio::test]
async fn how_a_source_does_is_exported() {
    let mut orders = service("orders", Vec::new());
    orders.sources = vec![source()];
    let page = Gateway::start(vec![orders]).await.scrape().await;
    let labels = [("service", "orders"), ("source", "file")];
    for (name, value) in [
        ("up", 1.0),
        ("endpoints", 4.0),
        ("updates_total", 3.0),
        ("errors_total", 2.0),
        ("last_success_timestamp_seconds", 1.5),
    ] {
        assert_eq!(page.value(&format!("equipoise_discovery_{name}"), &labels), value);
    }
}

#[tokio::test]
async fn every_metric_is_exported_as_declared() {
    let mut backend = backend("127.0.0.1:50051");
    let quantiles = [Some(0.02), Some(0.03), Some(0.03), Some(0.04)];
    backend.recent = recent(Some(0.75), quantiles);
    backend.state = Some("UNHEALTHY");
    stats(&backend).record_call(OK, Duration::from_millis(20));
    backend.endpoint.worker_stats(1).record_call(OK, Duration::from_millis(30));
    stats(&backend).record_start(Duration::from_millis(10));
    backend.endpoint.load().begin(ExchangeClass::Call, Time::ZERO);
    for _ in 0..2 {
        backend.endpoint.load().begin(ExchangeClass::Stream, Time::ZERO);
        stats(&backend).record_stream_opened();
    }
    stats(&backend).count_messages(Direction::Response, 9);
    backend.endpoint.note_retried();
    let mut orders = service("orders", vec![backend]);
    orders.counters = of_a_service();
    orders.methods = vec![called("shop.Orders/Get")];
    orders.retries = Some(RetrySample { attempts: [5, 2, 0, 1, 0, 0, 0, 0], budget_left: 98 });
    orders.near_part = Some(0.875);
    orders.learned_limit = Some(15);
    orders.concurrency =
        Some(ConcurrencySample { limit: Some(12), calls: 7, waiting: 3, streams: 2 });
    orders.sources = vec![source()];
    let gateway = Gateway::start(vec![orders]).await;
    gateway.worker.reject(RejectReason::NoRoute);
    gateway.worker.connection_opened(Side::Downstream);
    gateway.worker.connection_opened(Side::Downstream);
    gateway.worker.connection_closed(Side::Downstream, CloseReason::Pings);

    let page = gateway.scrape().await;
    assert_as_declared(&page);
    assert_eq!(page.0.len(), METRICS.len());

    let here = [("service", "orders"), ("backend", "127.0.0.1:50051")];
    let ok = [("protocol", "grpc"), ("code", "OK"), here[0], here[1]];
    assert_eq!(page.value("equipoise_requests_total", &ok), 2.0);
    assert_eq!(page.value("equipoise_request_duration_seconds_count", &here), 2.0);
    assert_eq!(page.value("equipoise_request_duration_seconds_sum", &here), 0.05);
    assert_eq!(page.value("equipoise_response_start_seconds_sum", &here[..1]), 0.01);
    let p999 = [here[0], here[1], ("quantile", "0.999")];
    assert_eq!(page.value("equipoise_backend_latency_seconds", &p999), 0.04);
    assert_eq!(page.value("equipoise_backend_weight", &here), 3.0);
    assert_eq!(page.value("equipoise_backend_in_flight", &here), 1.0);
    assert_eq!(page.value("equipoise_backend_open_streams", &here), 2.0);
    assert_eq!(page.value("equipoise_streams_opened_total", &here), 2.0);
    let answers = [here[0], here[1], ("direction", "response")];
    assert_eq!(page.value("equipoise_stream_messages_total", &answers), 9.0);
    assert_eq!(page.value("equipoise_backend_up", &here), 1.0);
    assert_eq!(page.value("equipoise_backend_success_ratio", &here), 0.75);
    let succeeded = [here[0], ("result", "success")];
    assert_eq!(page.value("equipoise_retries_total", &succeeded), 7.0);
    assert_eq!(page.value("equipoise_hedges_total", &[here[0], ("result", "won")]), 4.0);
    assert_eq!(page.value("equipoise_backend_retried_total", &here), 1.0);
    assert_eq!(page.value("equipoise_near_requests_ratio", &here[..1]), 0.875);
    assert_concurrency(&page);
    assert_attempts(&page);
}

#[tokio::test]
async fn counters_only_grow_while_they_are_written() {
    const REQUESTS: u64 = 300_000;
    let busy = backend("a:1");
    let endpoint = Arc::clone(&busy.endpoint);
    let gateway = Gateway::start(vec![service("orders", vec![busy])]).await;
    let done = Arc::new(AtomicBool::new(false));
    let writing = Arc::clone(&done);
    let writer = std::thread::spawn(move || {
        for i in 0..REQUESTS {
            let stats = endpoint.worker_stats(0);
            let code = GRPC_CODES[(i % 17) as usize];
            stats.record_call(Code::Grpc(code), Duration::from_micros(i));
            stats.record_start(Duration::from_micros(i / 2));
        }
        writing.store(true, SeqCst);
    });
    let mut before = gateway.scrape().await;
    loop {
        let last = done.load(SeqCst);
        let now = gateway.scrape().await;
        for (name, family) in before.0.iter().filter(|(_, family)| family.kind != "gauge") {
            for sample in &family.samples {
                let labels: Vec<(&str, &str)> =
                    sample.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                assert!(now.value(&sample.name, &labels) >= sample.value, "{name} {labels:?}");
            }
        }
        before = now;
        if last {
            break;
        }
    }
    writer.join().unwrap();
    let total: f64 = before.samples("equipoise_requests_total").iter().map(|s| s.value).sum();
    assert_eq!(total, REQUESTS as f64);
    let cancelled = before.value("equipoise_requests_total", &[("code", "CANCELLED")]);
    let timed = before.value("equipoise_request_duration_seconds_count", &[]);
    assert_eq!(timed, REQUESTS as f64 - cancelled);
}

#[tokio::test]
async fn quantiles_read_from_the_buckets_are_close_to_the_samples() {
    for (seed, sigma) in [(1, 0.3), (2, 0.7), (3, 1.2)] {
        let mut rng = fastrand::Rng::with_seed(seed);
        let backend = backend("a:1");
        let mut samples: Vec<f64> = (0..50_000)
            .map(|_| {
                let (u, v) = (1.0 - rng.f64(), rng.f64());
                let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
                0.008 * (sigma * normal).exp()
            })
            .collect();
        for sample in &samples {
            stats(&backend).record_call(OK, Duration::from_secs_f64(*sample));
        }
        samples.sort_unstable_by(f64::total_cmp);
        let page = Gateway::start(vec![service("orders", vec![backend])]).await.scrape().await;
        for q in [0.5, 0.9, 0.99] {
            let exact = samples[(q * samples.len() as f64) as usize];
            let read = page.quantile("equipoise_request_duration_seconds", &[], q);
            // Bounds at most double, and Prometheus interpolates linearly between them.
            let off = (read / exact).ln().abs();
            assert!(off < 1.5_f64.ln(), "sigma {sigma}, {q}: {read} against {exact}");
        }
    }
}

#[tokio::test]
async fn hostile_names_arrive_as_they_are() {
    let names = [
        "plain",
        "",
        "\"",
        "\\",
        "\\\\",
        "\\\"",
        "\n",
        "\\n",
        "\\\n",
        "\n\n",
        "\\\n\\\"\n",
        "a\"} 1\nequipoise_backend_up{service=\"b",
        "# HELP x",
        "\r",
        "é🦀\u{0}",
        "{}",
        ",",
    ];
    let services = names.iter().map(|name| {
        let backend = backend("a:1");
        stats(&backend).record_call(OK, Duration::from_millis(1));
        service(name, vec![backend])
    });
    let gateway = Gateway::start(services.collect()).await;
    let page = gateway.scrape().await;
    for name in names {
        let labels = [("service", name), ("backend", "a:1")];
        assert_eq!(page.value("equipoise_backend_up", &labels), 1.0);
        assert_eq!(page.value("equipoise_requests_total", &labels), 1.0);
        assert_eq!(page.value("equipoise_request_duration_seconds_count", &labels), 1.0);
    }
    assert_eq!(page.samples("equipoise_backend_up").len(), names.len());
}

#[tokio::test]
async fn a_success_ratio_is_shown_only_when_there_is_one() {
    let gateway =
        Gateway::start(vec![service("orders", vec![backend("a:1"), backend("b:1")])]).await;
    let family = "equipoise_backend_success_ratio";
    assert!(gateway.scrape().await.samples(family).is_empty());
    gateway.services.0.lock().unwrap()[0].backends[1].recent = recent(Some(0.0), [None; 4]);
    stats(&gateway.services.0.lock().unwrap()[0].backends[1]).record_call(FAILED, Duration::ZERO);
    let page = gateway.scrape().await;
    assert_eq!(page.samples(family).len(), 1);
    assert_eq!(page.value(family, &[("backend", "b:1")]), 0.0);
}

#[tokio::test]
async fn what_leaves_the_configuration_leaves_the_page() {
    let services =
        ["orders", "carts"].map(|name| service(name, vec![backend("a:1"), backend("b:1")]));
    for backend in services.iter().flat_map(|service| &service.backends) {
        stats(backend).record_call(OK, Duration::from_millis(1));
    }
    let gateway = Gateway::start(services.to_vec()).await;
    let shown = |page: &Page, labels: &[(&str, &str)]| {
        let families = page.0.values();
        families.filter(|family| family.samples.iter().any(|s| s.has(labels))).count()
    };
    let page = gateway.scrape().await;
    assert!(shown(&page, &[("service", "orders"), ("backend", "b:1")]) >= 5);
    assert!(shown(&page, &[("service", "carts")]) >= 5);

    {
        let mut services = gateway.services.0.lock().unwrap();
        services.pop();
        services[0].backends.pop();
    }
    let page = gateway.scrape().await;
    assert_eq!(shown(&page, &[("backend", "b:1")]), 0);
    assert_eq!(shown(&page, &[("service", "carts")]), 0);
    assert!(shown(&page, &[("service", "orders"), ("backend", "a:1")]) >= 5);
}

#[tokio::test]
async fn clients_cannot_add_series_without_end() {
    let backend = backend("a:1");
    for status in 0..=u16::MAX {
        stats(&backend).record_call(Code::Http(status), Duration::from_millis(1));
    }
    for code in GRPC_CODES {
        stats(&backend).record_call(Code::Grpc(*code), Duration::from_millis(1));
    }
    let gateway = Gateway::start(vec![service("orders", vec![backend])]).await;
    let page = gateway.scrape().await;
    let requests = page.samples("equipoise_requests_total");
    assert_eq!(requests.len(), 500 + 17);
    let total: f64 = requests.iter().map(|sample| sample.value).sum();
    assert_eq!(total, 65_536.0 + 17.0);
    let series: usize = page.0.values().map(|family| family.samples.len()).sum();
    let fixed: usize = page
        .0
        .iter()
        .filter(|(name, _)| *name != "equipoise_requests_total")
        .map(|(_, family)| family.samples.len())
        .sum();
    assert_eq!(series - fixed, requests.len());
    assert!(fixed < 360, "{fixed}");
}

#[tokio::test]
async fn health_is_told_by_status() {
    let gateway = Gateway::start(Vec::new()).await;
    let status = async |head: &str| gateway.request(head).await[..12].to_owned();
    for (readiness, expected) in [
        (Readiness::Starting, "HTTP/1.1 503"),
        (Readiness::Ready, "HTTP/1.1 200"),
        (Readiness::Draining, "HTTP/1.1 503"),
    ] {
        gateway.readiness.send(readiness).unwrap();
        assert_eq!(status("GET /readyz HTTP/1.1").await, expected, "{readiness:?}");
        assert_eq!(status("GET /healthz HTTP/1.1").await, "HTTP/1.1 200");
    }
    assert_eq!(status("GET / HTTP/1.1").await, "HTTP/1.1 404");
    assert_eq!(status("GET /metrics/../etc HTTP/1.1").await, "HTTP/1.1 404");
    assert_eq!(status("POST /metrics HTTP/1.1").await, "HTTP/1.1 405");
    assert_eq!(status("HEAD /metrics HTTP/1.1").await, "HTTP/1.1 200");
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let gateway = Gateway::start(Vec::new()).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ").await.unwrap();
    while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    gateway.scrape().await;
}

#[tokio::test]
async fn stopping_closes_the_listener_and_ends() {
    let gateway = Gateway::start(Vec::new()).await;
    let idle = TcpStream::connect(gateway.address).await.unwrap();
    gateway.request("GET /healthz HTTP/1.1").await;
    gateway.stop.send(()).unwrap();
    gateway.served.await.unwrap();
    assert!(TcpStream::connect(gateway.address).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn idle_connections_do_not_keep_a_scrape_out() {
    let gateway = Gateway::start(Vec::new()).await;
    let mut idle = Vec::new();
    for _ in 0..70 {
        idle.push(TcpStream::connect(gateway.address).await.unwrap());
    }
    gateway.scrape().await;
    let mut answer = Vec::new();
    let _ = idle[0].read_to_end(&mut answer).await; // the oldest is evicted
}

const PLAIN: Encoding = Encoding { format: Format::Text, gzip: false };

/// Signals when it is called, and waits to answer.
struct Gate {
    asked: Arc<AtomicUsize>,
    begun: mpsc::Sender<()>,
    go: Mutex<mpsc::Receiver<()>>,
}

impl MetricsSource for Gate {
    fn services(&self) -> Vec<ServiceSample> {
        self.asked.fetch_add(1, SeqCst);
        self.begun.send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        Vec::new()
    }

    fn rejected(&self) -> Vec<(Box<str>, RejectTotals)> {
        vec![("moved".into(), rejected(RejectReason::Malformed, 3))]
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
        vec![("denied", 3)]
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

#[tokio::test]
async fn scrapers_that_come_together_share_a_page() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (begun, first_begun) = mpsc::channel();
    let (go, gate) = mpsc::channel();
    let gate = Gate { asked: Arc::clone(&asked), begun, go: Mutex::new(gate) };
    let exporter = Exporter::new(gate, Vec::new(), MetricsSettings::default(), Clock::start());
    let scrape = || {
        let exporter = exporter.clone();
        tokio::spawn(async move { exporter.scrape(PLAIN).await.unwrap() })
    };
    let first = scrape();
    tokio::task::yield_now().await;
    first_begun.recv().unwrap();
    let others: Vec<_> = (0..50).map(|_| scrape()).collect();
    tokio::task::yield_now().await; // they wait for a newer page than the first's
    go.send(()).unwrap();
    go.send(()).unwrap();
    drop(go); // a third page would fail
    first.await.unwrap();
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(asked.load(SeqCst), 2);
}

#[tokio::test]
async fn health_is_told_while_a_page_is_written() {
    let (begun, first_begun) = mpsc::channel();
    let (go, gate) = mpsc::channel();
    let gate = Gate { asked: Arc::default(), begun, go: Mutex::new(gate) };
    let exporter = Exporter::new(gate, Vec::new(), MetricsSettings::default(), Clock::start());
    let gateway = Gateway::of(Services::default(), Arc::default(), exporter).await;
    let scrape = async { gateway.request("GET /metrics HTTP/1.1").await };
    let health = async {
        while first_begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        let health = gateway.request("GET /healthz HTTP/1.1").await;
        go.send(()).unwrap();
        health
    };
    let (page, health) = tokio::join!(scrape, health);
    assert!(page.starts_with("HTTP/1.1 200") && health.starts_with("HTTP/1.1 200"));
}
