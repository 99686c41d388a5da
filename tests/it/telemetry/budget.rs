//! More backends than a page may name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use equipoise::model::{Code, ExchangeClass, GRPC_CODES, GrpcCode, MethodStats, Time};
use equipoise::telemetry::names::{METRICS, MIRRORED, RETRIES};
use equipoise::telemetry::{BackendSample, MetricsSettings, ResponseStart, ServiceSample};

use super::page::{Labels, Page};
use super::{Gateway, backend, counter, recent, service, stats};

const REQUESTS: &str = "equipoise_requests_total";
const DURATIONS: &str = "equipoise_request_duration_seconds";
const FOLDED: &str = "equipoise_metrics_folded_series";

fn answer(backend: &BackendSample, code: GrpcCode, times: u64) {
    for _ in 0..times {
        stats(backend).record_call(Code::Grpc(code), Duration::from_millis(3));
        stats(backend).record_start(Duration::from_millis(2));
    }
}

/// Services `a`, `b` and so on with this many backends each; the later, the busier, the first idle.
fn fleet(services: usize, backends: usize) -> Vec<ServiceSample> {
    let service_of = |number: usize| {
        let members = (0..backends).map(|member| {
            let backend = backend(&format!("10.0.{number}.{member}:1"));
            answer(&backend, GrpcCode::Ok, (number * backends + member) as u64);
            backend
        });
        service(&char::from(b'a' + number as u8).to_string(), members.collect())
    };
    (0..services).map(service_of).collect()
}

/// The sum of the series named `name` by the label `by`.
fn sums(page: &Page, name: &str, by: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    let all = page.0.values().flat_map(|family| &family.samples);
    for sample in all.filter(|sample| sample.name == name) {
        *sums.entry(sample.labels[by].clone()).or_default() += sample.value;
    }
    sums
}

/// The backends that have a name in `family`.
fn named(page: &Page, family: &str) -> BTreeSet<String> {
    let backends = page.samples(family).iter().map(|sample| sample.labels["backend"].clone());
    backends.filter(|backend| backend != "other").collect()
}

/// The series of all metrics.
fn series(page: &Page) -> usize {
    page.0.values().map(|family| family.samples.len()).sum()
}

/// Series that are kept free for what is told of folded ones.
fn spare(page: &Page) -> usize {
    METRICS.len() - page.samples(FOLDED).len()
}

/// What grows must never shrink, or Prometheus would take it for a restart.
fn assert_grown(before: &Page, now: &Page) {
    let series = |page: &Page| -> BTreeMap<(String, Labels), f64> {
        let growing = page.0.values().filter(|family| family.kind != "gauge");
        let samples = growing.flat_map(|family| family.samples.clone());
        samples.map(|sample| ((sample.name, sample.labels), sample.value)).collect()
    };
    let now = series(now);
    for (key, value) in series(before) {
        assert!(now.get(&key).is_none_or(|later| *later >= value), "{key:?}");
    }
}

#[tokio::test]
async fn hundreds_of_backends_keep_to_a_small_budget_and_the_sums_are_right() {
    let fleet = fleet(3, 150);
    for backend in fleet.iter().flat_map(|service| &service.backends) {
        backend.endpoint.load().begin(ExchangeClass::Call, Time::ZERO);
        answer(backend, GrpcCode::Unavailable, u64::from(backend.endpoint.requests() > 200));
    }
    let gateway = Gateway::with_budget(fleet.clone(), 1497).await;
    let page = gateway.scrape().await;
    assert!((1150..=1497).contains(&series(&page)), "{}", series(&page));
    for service in &fleet {
        let backends = &service.backends;
        let requests: u64 = backends.iter().map(|backend| backend.endpoint.requests()).sum();
        let by_service = |name| sums(&page, name, "service")[&*service.name];
        assert_eq!(by_service(REQUESTS), requests as f64);
        assert_eq!(by_service("equipoise_request_duration_seconds_count"), requests as f64);
        assert_eq!(by_service("equipoise_response_start_seconds_count"), requests as f64);
        assert_eq!(by_service("equipoise_backend_weight"), 3.0 * backends.len() as f64);
        assert_eq!(by_service("equipoise_backend_in_flight"), backends.len() as f64);
        assert_eq!(by_service("equipoise_backend_up"), backends.len() as f64);
    }
    let failed = sums(&page, REQUESTS, "code")["UNAVAILABLE"];
    assert_eq!(failed, (450 - 201) as f64);

    let names = named(&page, REQUESTS);
    let busiest = (135..150).map(|member| format!("10.0.2.{member}:1"));
    assert!(names.is_superset(&busiest.collect()), "{names:?}");
    for family in [DURATIONS, "equipoise_backend_weight", "equipoise_backend_up"] {
        assert_eq!(named(&page, family), names, "{family}");
    }
    let folded = |metric: &str| page.value(FOLDED, &[("metric", metric)]);
    assert_eq!(folded("equipoise_backend_weight"), (450 - names.len()) as f64);
    assert_eq!(folded("equipoise_retries_total"), 0.0);
}

/// Services and backends with all that can be told of them.
fn full(services: usize, backends: usize) -> Vec<ServiceSample> {
    let mut fleet = fleet(services, backends);
    for service in &mut fleet {
        service.counters =
            vec![counter(&RETRIES, &["success"], 2), counter(&MIRRORED, &["slow"], 1)];
        for backend in &mut service.backends {
            answer(backend, GrpcCode::Ok, 1);
            stats(backend).record_stream_opened();
            backend.endpoint.load().begin(ExchangeClass::Stream, Time::ZERO);
            backend.recent = recent(Some(1.0), [Some(0.1); 4]);
            backend.state = Some("DRAINING");
        }
    }
    fleet
}

#[tokio::test]
async fn the_budget_is_what_the_page_has_to_the_last_series() {
    for start in [ResponseStart::Service, ResponseStart::Backend, ResponseStart::Off] {
        for bounds in [1, 10, 20] {
            let mut settings = MetricsSettings { response_start: start, ..Default::default() };
            settings.latency_buckets.truncate(bounds);
            let page = Gateway::with(full(3, 4), settings.clone()).await.scrape().await;
            let exact = series(&page) + spare(&page);
            for (series_budget, folded) in [(exact, false), (exact - 1, true)] {
                let settings = MetricsSettings { series_budget, ..settings.clone() };
                let page = Gateway::with(full(3, 4), settings).await.scrape().await;
                assert!(series(&page) <= series_budget, "{start:?}");
                let any = page.samples(FOLDED).iter().any(|sample| sample.value > 0.0);
                assert_eq!(any, folded, "{start:?}, {bounds} bounds");
            }
        }
    }
}

#[tokio::test]
async fn services_beyond_the_budget_are_one() {
    let mut fleet = fleet(20, 2);
    for service in &mut fleet {
        service.counters = vec![
            counter(&RETRIES, &["success"], 5),
            counter(&MIRRORED, &["answered"], 1),
            counter(&MIRRORED, &["abandoned"], 1),
        ];
    }
    let gateway = Gateway::with_budget(fleet, 600).await;
    let page = gateway.scrape().await;
    assert!(series(&page) <= 600, "{}", series(&page));
    let retries = sums(&page, "equipoise_retries_total", "service");
    assert!((3..10).contains(&retries.len()), "{retries:?}");
    assert_eq!(retries.values().sum::<f64>(), 100.0);
    assert!(retries["other"] > 5.0);
    let copies = sums(&page, "equipoise_mirrored_total", "service");
    assert_eq!(copies.len(), retries.len());
    assert_eq!(copies.values().sum::<f64>(), 40.0);
    let requests: f64 = sums(&page, REQUESTS, "service").values().sum();
    assert_eq!(requests, (0..40).sum::<u64>() as f64);
    let starts = sums(&page, "equipoise_response_start_seconds_count", "service");
    assert_eq!(starts.values().sum::<f64>(), requests);
    assert_eq!(starts.len(), retries.len());
}

#[tokio::test]
async fn who_has_a_name_keeps_it_and_no_counter_ever_shrinks() {
    let fleet = fleet(2, 30);
    let gateway = Gateway::with_budget(fleet.clone(), 700).await;
    let mut before = gateway.scrape().await;
    let names = named(&before, REQUESTS);
    assert!((5..30).contains(&names.len()), "{names:?}");
    let total = |page: &Page| sums(page, REQUESTS, "service").values().sum::<f64>();
    for turn in 0..20 {
        // Others become the busiest, and fail in new ways.
        answer(&fleet[0].backends[turn], GrpcCode::Ok, 500);
        answer(&fleet[1].backends[29 - turn], GrpcCode::Internal, 3);
        let page = gateway.scrape().await;
        assert_grown(&before, &page);
        assert!(series(&page) <= 700, "{}", series(&page));
        assert_eq!(named(&page, REQUESTS), names);
        let all = fleet.iter().flat_map(|service| &service.backends);
        assert_eq!(total(&page), all.map(|b| b.endpoint.requests()).sum::<u64>() as f64);
        let failed = sums(&page, REQUESTS, "code").get("INTERNAL").copied();
        assert_eq!(failed, Some(3.0 * (turn + 1) as f64));
        before = page;
    }
}

#[tokio::test]
async fn a_place_that_becomes_free_goes_to_the_busiest() {
    let fleet = fleet(1, 30);
    let gateway = Gateway::with_budget(fleet, 500).await;
    let before = gateway.scrape().await;
    let names = named(&before, DURATIONS);
    assert!(names.contains("10.0.0.29:1") && !names.contains("10.0.0.5:1"));
    {
        let mut services = gateway.services.0.lock().unwrap();
        let backends = &mut services[0].backends;
        answer(&backends[5], GrpcCode::Ok, 1000);
        backends
            .retain(|backend| !["10.0.0.29:1", "10.0.0.7:1"].contains(&backend.endpoint.address()));
    }
    let page = gateway.scrape().await;
    assert_grown(&before, &page);
    let now = named(&page, DURATIONS);
    assert!(now.contains("10.0.0.5:1") && !now.contains("10.0.0.29:1"), "{now:?}");
    assert_eq!(now.len(), names.len());
    // What it did before it had a name stays in the sum.
    let labels = [("backend", "10.0.0.5:1")];
    assert_eq!(page.value("equipoise_request_duration_seconds_count", &labels), 1000.0);
    // And the times to the head of those that are gone stay in their service's.
    let starts = page.value("equipoise_response_start_seconds_count", &[("service", "a")]);
    assert_eq!(starts, (0..30).sum::<u64>() as f64 + 1000.0);
}

#[tokio::test]
async fn codes_and_streams_beyond_the_budget_are_summed_up() {
    let fleet = vec![service("orders", vec![backend("odd:1"), backend("plain:1")])];
    let [odd, plain] = [0, 1].map(|member| fleet[0].backends[member].clone());
    answer(&plain, GrpcCode::Ok, 10_000);
    for status in 200..400 {
        stats(&odd).record_call(Code::Http(status), Duration::from_millis(1));
    }
    let probe = Gateway::start(fleet.clone()).await.scrape().await;
    // Ten more than what is always kept for success ratios, quantiles and states.
    let budget = series(&probe) + spare(&probe) + 2 * 6 + 10;
    let gateway = Gateway::with_budget(fleet, budget).await;
    assert!(gateway.scrape().await.samples(FOLDED).iter().all(|sample| sample.value == 0.0));
    for status in 400..600 {
        stats(&odd).record_call(Code::Http(status), Duration::from_millis(1));
    }
    stats(&odd).record_stream_opened();
    let page = gateway.scrape().await;
    let by_code = sums(&page, REQUESTS, "code");
    assert_eq!(by_code.len(), 401);
    assert_eq!(page.value(FOLDED, &[("metric", REQUESTS)]), 190.0);
    assert_eq!(sums(&page, REQUESTS, "backend")["other"], 190.0);
    assert_eq!(sums(&page, "equipoise_streams_opened_total", "backend")["other"], 1.0);
}

#[tokio::test]
async fn any_fleet_keeps_to_its_budget_and_loses_nothing() {
    let mut rng = fastrand::Rng::with_seed(11);
    for round in 0..40 {
        let fleet = fleet(rng.usize(1..8), rng.usize(1..12));
        let budget = rng.usize(400..3000);
        let gateway = Gateway::with_budget(fleet.clone(), budget).await;
        let mut before = gateway.scrape().await;
        for _ in 0..4 {
            for backend in fleet.iter().flat_map(|service| &service.backends) {
                let code = GRPC_CODES[rng.usize(0..GRPC_CODES.len())];
                answer(backend, code, rng.u64(0..4));
                if rng.u8(0..20) == 0 {
                    stats(backend).record_stream_opened();
                }
            }
            let page = gateway.scrape().await;
            assert_grown(&before, &page);
            let requests: u64 =
                fleet.iter().flat_map(|s| &s.backends).map(|b| b.endpoint.requests()).sum();
            let shown: f64 = sums(&page, REQUESTS, "service").values().sum();
            assert_eq!(shown, requests as f64, "{round}");
            assert!(series(&page) <= budget.max(600), "{round}: {} of {budget}", series(&page));
            before = page;
        }
    }
}

/// Services of two backends, each with the methods `m.M/0` and so on, the later the busier, and with
/// calls that have no method of their own.
fn methodical(services: usize, methods: usize) -> Vec<ServiceSample> {
    let mut fleet = fleet(services, 2);
    for service in &mut fleet {
        let names = (0..methods).map(|method| format!("m.M/{method}"));
        for (calls, name) in (1..).zip(names.chain(["other".into()])) {
            let stats = MethodStats::new(&name, 2);
            for n in 0..calls {
                let code = if n % 4 == 3 { GrpcCode::Internal } else { GrpcCode::Ok };
                stats.record_call(n % 2, code, Duration::from_millis(3));
            }
            service.methods.push(Arc::new(stats));
        }
    }
    fleet
}

#[tokio::test]
async fn methods_beyond_the_budget_are_summed_up_and_keep_to_it() {
    const METHOD_REQUESTS: &str = "equipoise_method_requests_total";
    const METHODS: usize = 40;
    let all = series(&Gateway::with_budget(methodical(3, METHODS), 100_000).await.scrape().await);
    let each = (METHODS + 1) * (METHODS + 2) / 2;
    let mut whole = 0;
    for budget in (500..all + 400).step_by(97) {
        let gateway = Gateway::with_budget(methodical(3, METHODS), budget).await;
        let page = gateway.scrape().await;
        assert!(series(&page) <= budget, "{} of {budget}", series(&page));
        for name in [METHOD_REQUESTS, "equipoise_method_duration_seconds_count"] {
            let counted: f64 = sums(&page, name, "method").values().sum();
            assert_eq!(counted, (3 * each) as f64, "{name} at {budget}");
        }
        let methods = sums(&page, METHOD_REQUESTS, "method");
        let folded = page.value(FOLDED, &[("metric", "equipoise_method_duration_seconds")]);
        whole += usize::from(folded == 0.0);
        assert!(folded == 0.0 || !methods.contains_key("m.M/0"), "{budget}: {methods:?}");
        let again = gateway.scrape().await;
        assert_grown(&page, &again);
        assert_eq!(methods, sums(&again, METHOD_REQUESTS, "method"));
    }
    assert!(whole > 0, "the largest budgets are enough for all");
}

#[tokio::test]
async fn methods_give_way_before_backends_and_are_told_of() {
    let mut fleet = fleet(20, 1);
    for service in &mut fleet {
        answer(&service.backends[0], GrpcCode::Ok, 100);
        for method in 0..5 {
            let stats = MethodStats::new(&format!("m.M/{method}"), 1);
            (0..20).for_each(|_| stats.record_call(0, GrpcCode::Ok, Duration::from_millis(3)));
            service.methods.push(Arc::new(stats));
        }
    }
    let all = series(&Gateway::with_budget(fleet.clone(), 100_000).await.scrape().await);
    let page = Gateway::with_budget(fleet, all * 2 / 3).await.scrape().await;
    assert!(series(&page) <= all * 2 / 3);
    assert_eq!(named(&page, DURATIONS).len(), 20);
    let folded = |metric| page.value(FOLDED, &[("metric", metric)]);
    assert_eq!((folded(DURATIONS), folded(REQUESTS)), (0.0, 0.0));
    assert!(folded("equipoise_method_duration_seconds") > 0.0);
    let counted: f64 = sums(&page, "equipoise_method_requests_total", "service").values().sum();
    assert_eq!(counted, 20.0 * 5.0 * 20.0);
}
