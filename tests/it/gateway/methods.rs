//! Calls are counted by method, under names that a backend knows.

use std::collections::BTreeMap;

use equipoise::control::proto;

use crate::support::backend::Backend;
use crate::support::client::{message, with};
use crate::support::eventually;
use crate::support::gateway::{Gateway, one_service};
use crate::support::raw;
use crate::telemetry::page::Page;

const REQUESTS: &str = "equipoise_method_requests_total";

/// Requests by method and code.
fn counted(page: &Page) -> BTreeMap<(String, String), u64> {
    let samples = page.samples(REQUESTS).iter();
    let counted = samples.map(|sample| {
        let [method, code] = ["method", "code"].map(|label| sample.labels[label].clone());
        ((method, code), sample.value as u64)
    });
    counted.collect()
}

fn expected(counts: &[(&str, &str, u64)]) -> BTreeMap<(String, String), u64> {
    counts.iter().map(|(method, code, n)| (((*method).into(), (*code).into()), *n)).collect()
}

#[tokio::test]
async fn calls_and_streams_are_counted_by_method_and_code() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&one_service(&[backend.address], "")).await;
    let mut client = gateway.client().await;
    for status in ["0", "0", "5", "13"] {
        let _ = client.unary(with("x", "x-status", status)).await;
    }
    let wanted = asking_for(3);
    let mut stream = client.server_stream(wanted).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    let expected = expected(&[
        ("echo.Echo/ServerStream", "OK", 1),
        ("echo.Echo/Unary", "INTERNAL", 1),
        ("echo.Echo/Unary", "NOT_FOUND", 1),
        ("echo.Echo/Unary", "OK", 2),
    ]);
    eventually("all is counted", async || counted(&gateway.metrics().await) == expected).await;
    let page = gateway.metrics().await;
    let count = "equipoise_method_duration_seconds_count";
    assert_eq!(page.value(count, &[("method", "echo.Echo/Unary")]), 4.0);

    let request =
        proto::ListMethodsRequest { service: page.samples(REQUESTS)[0].labels["service"].clone() };
    let listed = gateway.control().await.0.list_methods(request).await.unwrap().into_inner();
    let [unary, stream] = listed.methods.try_into().unwrap();
    assert_eq!((&*unary.name, unary.requests, unary.failures), ("echo.Echo/Unary", 4, 1));
    assert_eq!((unary.success_ratio, unary.streams), (Some(0.75), 0));
    assert!(unary.p50_seconds <= unary.p99_seconds && unary.p50_seconds > Some(0.0));
    assert_eq!((&*stream.name, stream.requests, stream.streams), ("echo.Echo/ServerStream", 1, 1));
    assert_eq!(stream.p99_seconds, None);
}

/// A request for so many answers.
fn asking_for(replies: u32) -> crate::support::echo::Message {
    crate::support::echo::Message { replies, ..message("x") }
}

#[tokio::test]
async fn what_clients_make_up_gets_no_name() {
    let backend = raw::backend(|(request, mut answer)| async move {
        let status = match request.uri().path() {
            path if path.starts_with("/shop.Orders/") => "0",
            path if path.ends_with('1') => "16",
            path if path.ends_with('2') => "7",
            _ => "12",
        };
        let head = http::Response::builder().header("content-type", "application/grpc");
        let head = head.header("grpc-status", status).body(()).unwrap();
        let _ = answer.send_response(head, true);
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;
    for n in 0..300 {
        raw::get(&client, raw::grpc(&format!("/made.Up/M{n}"))).await;
    }
    for odd in ["/shop.Orders/a/b", "/shop.Orders/", "/shop.Orders/a%20b", "/shop.Orders/Get?x=1"] {
        raw::get(&client, raw::grpc(odd)).await;
    }
    raw::get(&client, raw::grpc("/shop.Orders/Get")).await;
    let counts = [
        ("other", "OK", 4),
        ("other", "UNIMPLEMENTED", 240),
        ("other", "UNAUTHENTICATED", 30),
        ("other", "PERMISSION_DENIED", 30),
        ("shop.Orders/Get", "OK", 1),
    ];
    assert_eq!(counted(&gateway.metrics().await), expected(&counts));
    for n in 0..300 {
        raw::get(&client, raw::grpc(&format!("/shop.Orders/M{n}"))).await;
    }
    let counted = counted(&gateway.metrics().await);
    assert_eq!(counted.len(), 256 + 4);
    assert_eq!(counted[&("other".into(), "OK".into())], 4 + 45);
    assert_eq!(counted.values().sum::<u64>(), 605);
}

#[tokio::test]
async fn their_number_is_set_and_none_are_counted_if_so_said() {
    let backend = Backend::start().await;
    for (most, wanted) in
        [("1", &[("echo.Echo/Unary", "OK", 1), ("other", "OK", 1)][..]), ("0", &[])]
    {
        let yaml = one_service(&[backend.address], "");
        let metrics = format!("metrics: {{ methods_per_service: {most}, ");
        let gateway = Gateway::start(&yaml.replace("metrics: {", &metrics)).await;
        let mut client = gateway.client().await;
        client.unary(message("x")).await.unwrap();
        let mut stream = client.server_stream(asking_for(1)).await.unwrap().into_inner();
        while stream.message().await.unwrap().is_some() {}
        eventually("all is counted", async || {
            let page = gateway.metrics().await;
            let requests = page.samples("equipoise_requests_total").iter();
            let total: f64 = requests.map(|sample| sample.value).sum();
            total == 2.0 && counted(&page) == expected(wanted)
        })
        .await;
    }
}
