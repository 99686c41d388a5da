//! Backends that come and go under load, and policies that change: nothing is dropped.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;

use super::steer::{Load, two};
use crate::support::client::{self, held, message};
use crate::support::gateway::Gateway;
use crate::support::{eventually, soon};

/// Whether the metrics know of this backend.
async fn shown(gateway: &Gateway, backend: SocketAddr) -> bool {
    let page = gateway.metrics().await;
    let samples = page.samples("equipoise_backend_weight");
    samples.iter().any(|sample| sample.labels["backend"] == backend.to_string())
}

async fn upstream_connections(gateway: &Gateway) -> f64 {
    gateway.metrics().await.value("equipoise_connections", &[("side", "upstream")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_backends_come_and_go_and_no_request_fails() {
    let ([a, b], gateway) = two("").await;
    let load = Load::start(&gateway).await;
    let mut control = gateway.control().await;
    let policies = ["round_robin", "weighted_random", "p2c_ewma", "configured"];
    for round in 0..60 {
        let off = if round % 2 == 0 { a.address } else { b.address };
        load.rule(None);
        control.remove(&[off]).await;
        load.rule(Some(off));
        load.more(30).await;
        control.set_policy(policies[round % policies.len()]).await;
        load.more(30).await;
        load.rule(None);
        control.add(off).await;
    }
    assert!(load.checked.load(SeqCst) > 1000);
    load.end().await;
    gateway.idle().await;
}

#[tokio::test]
async fn a_removed_backend_finishes_and_leaves_nothing_behind() {
    let ([a, b], gateway) = two("balancer: { policy: round_robin }").await;
    let mut control = gateway.control().await;
    let mut client = gateway.client().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let mut client = client.clone();
        calls.spawn(async move { client.unary(held()).await });
    }
    eventually("each has one", async || (a.seen.active(), b.seen.active()) == (1, 1)).await;
    control.remove(&[a.address]).await;
    for _ in 0..20 {
        let answer = client.unary(message("x")).await.unwrap();
        assert_eq!(client::backend(&answer), b.address);
    }
    assert!(shown(&gateway, a.address).await, "its request goes on");
    a.release();
    b.release();
    while let Some(call) = soon("held calls end", calls.join_next()).await {
        call.unwrap().unwrap();
    }
    eventually("it is forgotten", async || !shown(&gateway, a.address).await).await;
    assert!(shown(&gateway, b.address).await);

    control.add(a.address).await;
    eventually("it is used again", async || {
        client::backend(&client.unary(message("x")).await.unwrap()) == a.address
    })
    .await;
    assert!(upstream_connections(&gateway).await > 0.0);
    control.remove(&[a.address, b.address]).await;
    // No request brings it to the workers' notice.
    eventually("all connections are parted with", async || {
        upstream_connections(&gateway).await == 0.0
    })
    .await;
}

#[tokio::test]
async fn who_is_put_back_is_another_and_counters_go_on() {
    let ([a, b], gateway) = two("balancer: { policy: round_robin }").await;
    let mut control = gateway.control().await;
    let mut client = gateway.client().await;
    for _ in 0..40 {
        client.unary(message("x")).await.unwrap();
    }
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let mut client = client.clone();
        calls.spawn(async move { client.unary(held()).await });
    }
    eventually("each has one", async || (a.seen.active(), b.seen.active()) == (1, 1)).await;
    let address = a.address.to_string();
    let requests = async || {
        let page = gateway.metrics().await;
        let samples = page.samples("equipoise_requests_total").iter();
        let of: Vec<f64> =
            samples.filter(|s| s.labels["backend"] == address).map(|s| s.value).collect();
        assert_eq!(of.len(), 1, "one series for OK");
        of[0]
    };
    assert_eq!(requests().await, 20.0);

    control.remove(&[a.address]).await;
    control.add(a.address).await;
    let new = async || {
        let backends = gateway.control().await.backends().await;
        let found = backends.into_iter().find(|backend| backend.address == address).unwrap();
        (found.requests, found.in_flight)
    };
    assert_eq!(new().await, (0, 0), "it has answered nothing, and owes nothing");
    for _ in 0..10 {
        client.unary(message("x")).await.unwrap();
    }
    assert_eq!(new().await.0, 5);
    assert_eq!(requests().await, 25.0);
    a.release();
    b.release();
    while let Some(done) = calls.join_next().await {
        done.unwrap().unwrap();
    }
    // Whether the old life is still remembered or not.
    eventually("its last request is counted", async || requests().await == 26.0).await;
    assert_eq!(new().await.0, 5);
    gateway.idle().await;
    assert_eq!(requests().await, 26.0);
}

/// Prometheus comes some seconds after the last request.
#[tokio::test]
async fn what_a_backend_did_last_can_be_scraped_when_it_has_gone() {
    let ([a, b], gateway) = two("balancer: { policy: round_robin }").await;
    let mut control = gateway.control().await;
    let mut client = gateway.client().await;
    let address = a.address.to_string();
    let requests = async || {
        let page = gateway.metrics().await;
        let samples = page.samples("equipoise_requests_total").iter();
        samples.filter(|s| s.labels["backend"] == address).map(|s| s.value).sum::<f64>()
    };
    for _ in 0..20 {
        client.unary(message("x")).await.unwrap();
    }
    control.remove(&[a.address]).await;
    eventually("nothing speaks of it as there", async || !shown(&gateway, a.address).await).await;
    for _ in 0..20 {
        let answer = client.unary(message("x")).await.unwrap();
        assert_eq!(client::backend(&answer), b.address);
    }
    assert_eq!(requests().await, 10.0, "it is told what it did");
    control.add(a.address).await;
    for _ in 0..20 {
        client.unary(message("x")).await.unwrap();
    }
    assert_eq!(requests().await, 20.0, "and it goes on from there");
    gateway.idle().await;
}
