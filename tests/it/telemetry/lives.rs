//! Backends that are removed and added again: their labels stay, so what was counted must too.

use std::time::Duration;

use equipoise::model::{Code, ExchangeClass, GrpcCode, Time};
use equipoise::telemetry::BackendSample;

use super::page::Page;
use super::{Gateway, OK, backend, service, stats};

const ADDRESS: &str = "127.0.0.1:50051";
const REQUESTS: &str = "equipoise_requests_total";

/// A life of the one backend, that has answered so many requests.
fn life(ok: u64, unavailable: u64) -> BackendSample {
    let life = backend(ADDRESS);
    answer(&life, OK, ok);
    answer(&life, Code::Grpc(GrpcCode::Unavailable), unavailable);
    life
}

fn answer(life: &BackendSample, code: Code, times: u64) {
    for _ in 0..times {
        stats(life).record_call(code, Duration::from_millis(3));
        stats(life).record_start(Duration::from_millis(2));
    }
}

/// `life` while these are leaving its address.
fn after(life: &BackendSample, leaving: &[&BackendSample]) -> BackendSample {
    let before = leaving.iter().map(|gone| gone.endpoint.clone()).collect();
    BackendSample { before, ..life.clone() }
}

async fn page(gateway: &Gateway, backends: Vec<BackendSample>) -> Page {
    *gateway.services.0.lock().unwrap() = vec![service("orders", backends)];
    gateway.scrape().await
}

/// Requests with OK, with UNAVAILABLE, and those that durations are known of.
fn counts(page: &Page) -> (f64, f64, f64, f64) {
    let by = |code| {
        let samples = page.samples(REQUESTS).iter();
        let mut of = samples.filter(|sample| sample.labels["code"] == code);
        let value = of.next().map_or(0.0, |sample| sample.value);
        assert!(of.next().is_none(), "{code} is there twice");
        value
    };
    let count = |family: &str| {
        let name = format!("{family}_count");
        let samples = page.samples(family).iter();
        let of: Vec<f64> = samples.filter(|s| s.name == name).map(|s| s.value).collect();
        assert_eq!(of.len(), 1, "{family}");
        of[0]
    };
    let durations = count("equipoise_request_duration_seconds");
    (by("OK"), by("UNAVAILABLE"), durations, count("equipoise_response_start_seconds"))
}

#[tokio::test]
async fn counters_of_an_address_never_go_backwards_nor_stand_twice() {
    let gateway = Gateway::start(vec![]).await;
    let first = life(5, 2);
    let seen = page(&gateway, vec![first.clone()]).await;
    assert_eq!(counts(&seen), (5.0, 2.0, 7.0, 7.0));
    // Another is there while the first has requests in flight.
    let second = life(1, 0);
    first.endpoint.load().begin(ExchangeClass::Call, Time::ZERO);
    second.endpoint.load().begin(ExchangeClass::Call, Time::ZERO);
    let seen = page(&gateway, vec![after(&second, &[&first])]).await;
    assert_eq!(counts(&seen), (6.0, 2.0, 8.0, 8.0));
    let labels = [("service", "orders"), ("backend", ADDRESS)];
    assert_eq!(seen.value("equipoise_backend_in_flight", &labels), 2.0);
    assert_eq!(seen.value("equipoise_backend_weight", &labels), 3.0);
    // The last of the first's requests ends after the page, and the first is forgotten.
    answer(&first, OK, 1);
    answer(&second, Code::Grpc(GrpcCode::Unavailable), 1);
    let seen = page(&gateway, vec![second.clone()]).await;
    assert_eq!(counts(&seen), (7.0, 3.0, 10.0, 10.0));
    // A third comes and the second is gone between two pages.
    answer(&second, OK, 10);
    let third = life(0, 1);
    for _ in 0..2 {
        let seen = page(&gateway, vec![third.clone()]).await;
        assert_eq!(counts(&seen), (17.0, 4.0, 21.0, 21.0));
    }
    // It leaves: the label is gone, as ever; its service's own counts are not.
    let seen = page(&gateway, vec![backend("127.0.0.1:1")]).await;
    assert!(seen.samples(REQUESTS).is_empty());
    assert_eq!(seen.value("equipoise_response_start_seconds_count", &[]), 21.0);
}

#[tokio::test]
async fn lives_without_a_name_of_their_own_stay_in_the_sum() {
    let gateway = Gateway::with_budget(vec![], 1).await;
    let busy = backend("127.0.0.1:1");
    answer(&busy, OK, 1000);
    let sum = |page: &Page| -> f64 {
        let samples = page.samples(REQUESTS).iter();
        let of = samples.filter(|sample| sample.name == REQUESTS);
        of.map(|sample| sample.value).sum()
    };
    let (first, second) = (life(5, 2), life(1, 0));
    let seen = page(&gateway, vec![busy.clone(), first.clone()]).await;
    assert_eq!(sum(&seen), 1007.0);
    let seen = page(&gateway, vec![busy.clone(), after(&second, &[&first])]).await;
    assert_eq!(sum(&seen), 1008.0);
    answer(&first, OK, 1);
    for _ in 0..2 {
        let seen = page(&gateway, vec![busy.clone(), second.clone()]).await;
        assert_eq!(sum(&seen), 1009.0);
    }
}
