//! What the gateway says that it did is what clients and backends saw.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use equipoise::control::proto::Backend;
use equipoise::model::GRPC_CODES;
use tokio::task::JoinSet;

use crate::support::backend::{self, Options};
use crate::support::client::{self, held, message, with};
use crate::support::gateway::{Gateway, one_service};
use crate::support::{eventually, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_by_backend_and_code_as_clients_saw_them() {
    let backends = [backend::Backend::start().await, backend::Backend::start().await];
    let gateway = Gateway::to(&backends.each_ref().map(|backend| backend.address)).await;
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let mut client = gateway.client().await;
        callers.spawn(async move {
            let mut seen: BTreeMap<(String, String), u32> = BTreeMap::new();
            for number in 0..100 {
                let code = (number + caller) % 17;
                let result = match code {
                    0 => client.unary(message("x")).await.map(|answer| client::backend(&answer)),
                    code => {
                        let request = with("x", "x-status", &code.to_string());
                        client.unary(request).await.map(|answer| client::backend(&answer))
                    }
                };
                let (backend, code) = match result {
                    Ok(backend) => (backend.to_string(), "OK".to_owned()),
                    Err(status) => {
                        let backend = status.metadata().get("x-backend").unwrap();
                        (
                            backend.to_str().unwrap().to_owned(),
                            GRPC_CODES[status.code() as usize].name().to_owned(),
                        )
                    }
                };
                *seen.entry((backend, code)).or_default() += 1;
            }
            seen
        });
    }
    let mut seen: BTreeMap<(String, String), u32> = BTreeMap::new();
    while let Some(caller) = soon("the callers end", callers.join_next()).await {
        for (key, count) in caller.unwrap() {
            *seen.entry(key).or_default() += count;
        }
    }
    gateway.idle().await;
    let page = gateway.metrics().await;
    let counted = page.samples("equipoise_requests_total").iter();
    let counted: BTreeMap<_, _> = counted
        .filter(|sample| sample.value > 0.0)
        .map(|sample| {
            let label = |name: &str| sample.labels[name].clone();
            assert_eq!((&*label("service"), &*label("protocol")), ("echo", "grpc"));
            ((label("backend"), label("code")), sample.value as u32)
        })
        .collect();
    assert_eq!(counted, seen);
}

#[tokio::test]
async fn gauges_follow_what_goes_on_and_come_back() {
    let backend = backend::Backend::start().await;
    let gateway = Gateway::to(&[backend.address]).await;
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        let client = gateway.client().await;
        for _ in 0..5 {
            let mut client = client.clone();
            calls.spawn(async move { client.unary(held()).await.map(|_| ()) });
        }
    }
    eventually("all are there", async || backend.seen.active() == 15).await;
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_backend_in_flight", &[]), 15.0);
    assert_eq!(page.value("equipoise_connections", &[("side", "downstream")]), 3.0);
    let workers = page.value("equipoise_connections", &[("side", "upstream")]);
    assert_eq!(workers, 2.0, "one connection from each worker");
    let view = gateway.control().await.backends().await;
    assert_eq!(view[0].in_flight, 15);
    backend.release();
    while let Some(call) = soon("the calls end", calls.join_next()).await {
        call.unwrap().unwrap();
    }
    gateway.idle().await;
    eventually("the clients are gone", async || {
        let page = gateway.metrics().await;
        page.value("equipoise_connections", &[("side", "downstream")]) == 0.0
    })
    .await;
}

/// Latencies of a backend as its clients measure them: the median and the 99th of a hundred.
async fn measured(gateway: &Gateway) -> (f64, f64) {
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        let mut client = gateway.client().await;
        callers.spawn(async move {
            let mut took = Vec::new();
            for _ in 0..60 {
                let begun = Instant::now();
                client.unary(message("x")).await.unwrap();
                took.push(begun.elapsed());
            }
            took
        });
    }
    let mut all: Vec<Duration> = callers.join_all().await.concat();
    all.sort_unstable();
    let quantile = |q: f64| all[(all.len() as f64 * q) as usize].as_secs_f64();
    (quantile(0.5), quantile(0.99))
}

fn agree(one: f64, other: f64) -> bool {
    (one / other - 1.0).abs() < 0.1
}

/// On a machine that is busy elsewhere a client measures its own waiting too: it may have another
/// try, with another gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quantiles_agree_with_those_of_an_independent_client() {
    for attempt in 1.. {
        let options = Options { latency: Some(20..50), ..Options::default() };
        let backend = backend::Backend::with(options).await;
        let gateway = Gateway::start(&one_service(&[backend.address], "")).await;
        let (p50, p99) = measured(&gateway).await;
        let mut control = gateway.control().await;
        let all = |seen: &[_]| matches!(seen, [Backend { recent_requests: 600, .. }]);
        let view = control.backends_once("all are in the view", all).await;
        let said = (view[0].p50_seconds.unwrap(), view[0].p99_seconds.unwrap());
        if agree(said.0, p50) && agree(said.1, p99) {
            return;
        }
        assert!(attempt < 5, "measured {p50} {p99}, said {said:?}");
    }
}
