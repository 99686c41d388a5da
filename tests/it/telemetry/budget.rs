//! More backends than a metric may name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use equipoise::model::{Code, ExchangeClass, GrpcCode, Time};
use equipoise::telemetry::{BackendSample, ServiceSample};

use super::page::{Labels, Page};
use super::{Gateway, backend, service, stats};

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

/// The label sets of `family`.
fn sets(page: &Page, family: &str) -> usize {
    let samples = page.samples(family).iter();
    samples.filter(|sample| sample.name == family || sample.name.ends_with("_count")).count()
}

fn families(page: &Page) -> Vec<&str> {
    let by_service = |name: &&String| page.samples(name)[0].labels.contains_key("service");
    page.0.keys().filter(by_service).map(String::as_str).collect()
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
    let gateway = Gateway::with_budget(fleet.clone(), 60).await;
    let page = gateway.scrape().await;
    for family in families(&page) {
        assert!(sets(&page, family) <= 60, "{family}: {}", sets(&page, family));
    }
    for service in &fleet {
        let backends = &service.backends;
        let requests: u64 = backends.iter().map(|backend| backend.endpoint.requests()).sum();
        let by_service = |name| sums(&page, name, "service")[&*service.name];
        assert_eq!(by_service(REQUESTS), requests as f64);
        assert_eq!(by_service("equipoise_request_duration_seconds_count"), requests as f64);
        assert_eq!(by_service("equipoise_backend_weight"), 3.0 * backends.len() as f64);
        assert_eq!(by_service("equipoise_backend_in_flight"), backends.len() as f64);
        assert_eq!(by_service("equipoise_backend_up"), backends.len() as f64);
    }
    let failed = sums(&page, REQUESTS, "code")["UNAVAILABLE"];
    assert_eq!(failed, (450 - 201) as f64);

    let names = named(&page, REQUESTS);
    let busiest = (130..150).map(|member| format!("10.0.2.{member}:1"));
    assert!(names.is_superset(&busiest.collect()), "{names:?}");
    for family in [DURATIONS, "equipoise_backend_weight", "equipoise_backend_up"] {
        assert_eq!(named(&page, family), names, "{family}");
    }
    let folded = |metric: &str| page.value(FOLDED, &[("metric", metric)]);
    assert_eq!(folded("equipoise_backend_weight"), (450 - names.len()) as f64);
    assert_eq!(folded("equipoise_retries_total"), 0.0);
}

#[tokio::test]
async fn nothing_is_folded_while_it_fits() {
    let gateway = Gateway::with_budget(fleet(2, 20), 40).await;
    let page = gateway.scrape().await;
    assert_eq!(named(&page, DURATIONS).len(), 40);
    assert!(sums(&page, "equipoise_backend_up", "backend").keys().all(|name| name != "other"));
    assert!(page.samples(FOLDED).iter().all(|sample| sample.value == 0.0));
}

#[tokio::test]
async fn services_beyond_the_budget_are_one() {
    let mut fleet = fleet(20, 2);
    for service in &mut fleet {
        service.retries = 5;
        service.copies = Some([1, 0, 0, 0, 1]);
    }
    let gateway = Gateway::with_budget(fleet, 10).await;
    let page = gateway.scrape().await;
    assert!(sets(&page, DURATIONS) <= 10);
    let retries = sums(&page, "equipoise_retries_total", "service");
    assert!(retries.len() <= 10, "{retries:?}");
    assert_eq!(retries.values().sum::<f64>(), 100.0);
    assert!(retries["other"] > 5.0);
    let copies = sums(&page, "equipoise_mirrored_total", "service");
    assert_eq!(copies.len(), retries.len());
    assert_eq!(copies.values().sum::<f64>(), 40.0);
    let requests: f64 = sums(&page, REQUESTS, "service").values().sum();
    assert_eq!(requests, (0..40).sum::<u64>() as f64);
}

#[tokio::test]
async fn who_has_a_name_keeps_it_and_no_counter_ever_shrinks() {
    let fleet = fleet(2, 30);
    let gateway = Gateway::with_budget(fleet.clone(), 20).await;
    let mut before = gateway.scrape().await;
    let names = named(&before, REQUESTS);
    let total = |page: &Page| sums(page, REQUESTS, "service").values().sum::<f64>();
    for turn in 0..20 {
        // Others become the busiest, and fail in new ways.
        answer(&fleet[0].backends[turn], GrpcCode::Ok, 500);
        answer(&fleet[1].backends[29 - turn], GrpcCode::Internal, 3);
        let page = gateway.scrape().await;
        assert_grown(&before, &page);
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
    let gateway = Gateway::with_budget(fleet, 10).await;
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
}

#[tokio::test]
async fn codes_beyond_the_budget_are_summed_up_by_code() {
    let odd = backend("odd:1");
    let plain = backend("plain:1");
    answer(&plain, GrpcCode::Ok, 10_000);
    for status in 200..400 {
        stats(&odd).record_call(Code::Http(status), Duration::from_millis(1));
    }
    let gateway = Gateway::with_budget(vec![service("orders", vec![odd, plain])], 400).await;
    assert_eq!(sets(&gateway.scrape().await, REQUESTS), 201);
    let odd = gateway.services.0.lock().unwrap()[0].backends[0].clone();
    for status in 400..600 {
        stats(&odd).record_call(Code::Http(status), Duration::from_millis(1));
    }
    let page = gateway.scrape().await;
    let by_code = sums(&page, REQUESTS, "code");
    assert_eq!(by_code.len(), 401);
    assert_eq!(page.value(FOLDED, &[("metric", REQUESTS)]), 1.0);
    assert_eq!(sums(&page, REQUESTS, "backend")["other"], 1.0);
}
