//! What a scrape weighs.

use std::time::Duration;

use equipoise::model::{Code, GrpcCode};
use equipoise::telemetry::{BackendSample, MetricsSettings, ResponseStart, ServiceSample};

use super::page::{Labels, Page};
use super::{FAILED, Gateway, OK, backend, recent, service, stats};

/// So many services, with names and addresses as they are in life.
fn fleet(services: usize, members: usize) -> Vec<ServiceSample> {
    let members_of = |number: usize| {
        let address =
            |member: usize| format!("10.{}.{}.{member}:50051", number / 250, number % 250);
        (0..members).map(|member| backend(&address(member))).collect()
    };
    (0..services).map(|number| service(&format!("service-{number}"), members_of(number))).collect()
}

/// It answers calls, some with errors, at latencies from 1 ms to 1 s.
fn work(backend: &mut BackendSample) {
    for millis in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987] {
        stats(backend).record_call(OK, Duration::from_millis(millis));
        stats(backend).record_start(Duration::from_millis(millis));
    }
    stats(backend).record_call(FAILED, Duration::from_millis(2));
    stats(backend).record_call(Code::Grpc(GrpcCode::NotFound), Duration::from_millis(2));
    backend.recent = recent(Some(0.9375), [Some(0.0345), Some(0.6105), Some(0.9875), Some(0.9875)]);
}

/// Series by the labels of one backend.
fn of<'a>(page: &'a Page, address: &str) -> Vec<(&'a str, &'a Labels)> {
    let samples = page.0.values().flat_map(|family| &family.samples);
    let mine = samples.filter(|sample| sample.has(&[("backend", address)]));
    mine.map(|sample| (&*sample.name, &sample.labels)).collect()
}

#[tokio::test]
async fn twenty_thousand_idle_backends_are_two_lines_each() {
    let gateway = Gateway::start(fleet(1000, 20)).await;
    let response = gateway.request("GET /metrics HTTP/1.1").await;
    assert!(response.len() < 4_000_000, "{}", response.len());
    let page = gateway.scrape().await;
    let one = of(&page, "10.0.7.3:50051");
    let names: Vec<&str> = one.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["equipoise_backend_up", "equipoise_backend_weight"]);
    assert!(!page.0.contains_key("equipoise_retries_total"));
}

#[tokio::test]
async fn two_thousand_busy_backends_are_less_than_ten_megabytes() {
    let mut fleet = fleet(100, 20);
    fleet.iter_mut().flat_map(|service| &mut service.backends).for_each(work);
    let gateway = Gateway::start(fleet).await;
    let response = gateway.request("GET /metrics HTTP/1.1").await;
    assert!(response.len() < 6_800_000, "{}", response.len());
    let page = gateway.scrape().await;
    let buckets = |family: &str, labels: &[(&str, &str)]| {
        let name = format!("{family}_bucket");
        let samples = page.samples(family).iter();
        samples.filter(|sample| sample.name == name && sample.has(labels)).count()
    };
    let one = [("backend", "10.0.7.3:50051")];
    assert_eq!(buckets("equipoise_request_duration_seconds", &one), 19);
    assert_eq!(buckets("equipoise_response_start_seconds", &one), 0);
    assert_eq!(buckets("equipoise_response_start_seconds", &[("service", "service-7")]), 19);
    assert_eq!(
        page.value("equipoise_response_start_seconds_count", &[("service", "service-7")]),
        300.0
    );
    assert_eq!(of(&page, "10.0.7.3:50051").len(), 33);
}

#[tokio::test]
async fn what_has_had_no_calls_has_no_histogram_and_no_quantile() {
    let services = vec![service("orders", vec![backend("a:1"), backend("b:1")])];
    stats(&services[0].backends[0]).record_stream_opened();
    stats(&services[0].backends[0]).record_stream_ended(OK);
    let page = Gateway::start(services).await.scrape().await;
    for family in ["equipoise_request_duration_seconds", "equipoise_backend_latency_seconds"] {
        assert!(page.samples(family).is_empty(), "{family}");
    }
    assert_eq!(page.value("equipoise_streams_ended_total", &[]), 1.0);
    assert_eq!(of(&page, "b:1").len(), 2);
}

#[tokio::test]
async fn the_buckets_and_whose_times_to_the_head_are_told_can_be_set() {
    let start = async |response_start, micros: &[u64]| {
        let mut fleet = fleet(2, 2);
        fleet.iter_mut().flat_map(|service| &mut service.backends).for_each(work);
        let latency_buckets = micros.iter().map(|micros| Duration::from_micros(*micros)).collect();
        let settings = MetricsSettings { latency_buckets, response_start, ..Default::default() };
        Gateway::with(fleet, settings).await.scrape().await
    };
    let (durations, starts) =
        ("equipoise_request_duration_seconds", "equipoise_response_start_seconds");
    let page = start(ResponseStart::Backend, &[75_000, 7_500_000]).await;
    for family in [durations, starts] {
        let one = |le| {
            let labels = [("backend", "10.0.1.1:50051"), ("le", le)];
            page.value(&format!("{family}_bucket"), &labels)
        };
        let errors = if family == durations { 2.0 } else { 0.0 };
        assert_eq!([one("0.075"), one("7.5"), one("+Inf")], [9.0, 15.0, 15.0].map(|n| n + errors));
    }
    assert_eq!(page.samples(starts).len(), 4 * 5);
    let page = start(ResponseStart::Off, &[1_000]).await;
    assert!(page.samples(starts).is_empty());
    assert_eq!(page.samples(durations).len(), 4 * 4);
}
