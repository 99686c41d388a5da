//! Counters of services that a reload removed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::support::backend::Backend;
use crate::support::client::{message, with};
use crate::support::eventually;
use crate::support::gateway::{Gateway, PORTS};
use crate::telemetry::page::Page;

/// Counters of the service `gone`, by name and labels.
type Counted = BTreeMap<String, f64>;

const COUNTERS: [&str; 3] =
    ["equipoise_requests_total", "equipoise_rejected_total", "equipoise_method_requests_total"];

/// A configuration with these services, of which the first gets all requests; `metrics` are further
/// settings of `metrics`.
fn services(metrics: &str, services: &[(&str, SocketAddr)]) -> String {
    let ports = PORTS.replace("metrics: {", &format!("metrics: {{ {metrics}"));
    let row = |(name, address): &(&str, SocketAddr)| {
        format!("  {name}: {{ preconnect: 0, endpoints: [ \"{address}\" ] }}\n")
    };
    let rows: String = services.iter().map(row).collect();
    format!("{ports}services:\n{rows}routes: [ {{ service: {} }} ]\n", services[0].0)
}

fn counted(page: &Page) -> Counted {
    let samples = COUNTERS.into_iter().flat_map(|name| page.samples(name));
    let of = samples.filter(|sample| sample.labels["service"] == "gone");
    of.map(|sample| (format!("{}{:?}", sample.name, sample.labels), sample.value)).collect()
}

fn sum(counted: &Counted, counter: &str) -> f64 {
    counted.iter().filter(|(name, _)| name.starts_with(counter)).map(|(_, value)| value).sum()
}

/// The service's counters after this many responses and rejections.
async fn settled(gateway: &Gateway, answers: f64, rejected: f64) -> Counted {
    let mut seen = Counted::new();
    eventually("all is counted", async || {
        seen = counted(&gateway.metrics().await);
        COUNTERS.map(|name| sum(&seen, name)) == [answers, rejected, answers]
    })
    .await;
    seen
}

/// Makes the service `gone` answer twice, with OK and another code, and then not at all.
async fn use_it(gateway: &mut Gateway, metrics: &str, live: SocketAddr) {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut client = gateway.client().await;
    client.unary(message("x")).await.unwrap();
    client.unary(with("x", "x-status", "5")).await.unwrap_err();
    assert!(gateway.reload(&services(metrics, &[("gone", nobody)])).await);
    client.unary(message("x")).await.unwrap_err();
    settled(gateway, 2.0, 1.0).await;
    assert!(gateway.reload(&services(metrics, &[("gone", live)])).await);
}

#[tokio::test]
async fn what_a_service_counted_last_stays_and_goes_on_when_it_comes_back() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let (gone, other) =
        (services("", &[("gone", a.address)]), services("", &[("other", b.address)]));
    let mut gateway = Gateway::start(&gone).await;
    use_it(&mut gateway, "", a.address).await;
    let before = settled(&gateway, 2.0, 1.0).await;
    for _ in 0..2 {
        assert!(gateway.reload(&other).await);
        gateway.client().await.unary(message("x")).await.unwrap();
        eventually("its gauges go", async || {
            let page = gateway.metrics().await;
            page.samples("equipoise_backend_up").iter().all(|up| up.labels["service"] == "other")
        })
        .await;
        assert_eq!(counted(&gateway.metrics().await), before);
    }

    assert!(gateway.reload(&gone).await);
    assert_eq!(counted(&gateway.metrics().await), before);
    gateway.client().await.unary(message("x")).await.unwrap();
    let after = settled(&gateway, 3.0, 1.0).await;
    assert!(before.iter().all(|(name, value)| after[name] >= *value), "{before:?} {after:?}");
    assert_eq!(after.len(), before.len(), "no series has another name now");

    // It may also come back between two scrapes, with other backends.
    assert!(gateway.reload(&other).await);
    assert!(gateway.reload(&services("", &[("gone", b.address)])).await);
    let again = settled(&gateway, 3.0, 1.0).await;
    assert!(after.iter().all(|(name, value)| again[name] == *value), "{after:?} {again:?}");
}

#[tokio::test]
async fn what_is_not_to_be_kept_is_gone_with_its_service() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let metrics = "keep_removed: 0s, ";
    let mut gateway = Gateway::start(&services(metrics, &[("gone", a.address)])).await;
    gateway.client().await.unary(message("x")).await.unwrap();
    settled(&gateway, 1.0, 0.0).await;
    assert!(gateway.reload(&services(metrics, &[("other", b.address)])).await);
    gateway.client().await.unary(message("x")).await.unwrap();
    eventually("it is gone", async || counted(&gateway.metrics().await).is_empty()).await;
}
