//! What becomes of requests when somebody's health changes.

use std::collections::BTreeMap;

use super::*;
use crate::support::client::{self, Client, held, message, with};
use crate::support::eventually;

/// Who answers each of so many calls.
async fn answers(client: &mut Client, calls: usize) -> BTreeMap<SocketAddr, usize> {
    let mut by_backend = BTreeMap::new();
    for _ in 0..calls {
        let answer = client.unary(message("x")).await.unwrap();
        *by_backend.entry(client::backend(&answer)).or_default() += 1;
    }
    by_backend
}

#[tokio::test]
async fn who_says_that_it_does_not_serve_gets_nothing_until_it_does() {
    let ((one, _one), (other, says)) = (backend().await, backend().await);
    // Only what it says itself can tell: the next check is in an hour.
    let check = "grpc: {}, interval: 1h, timeout: 60s";
    say(&says, NotServing).await;
    let yaml = checked(&[one.address, other.address], check, "balancer: round_robin");
    let gateway = Gateway::start(&yaml).await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    out(&mut control, 1, "NOT_SERVING").await;
    say(&says, Serving).await;
    well(&mut control, 1).await;
    for _ in 0..3 {
        say(&says, NotServing).await;
        let backend = out(&mut control, 1, "NOT_SERVING").await;
        assert_eq!((backend.weight, backend.effective_weight), (1, 0));
        assert!(backend.state_seconds.is_some());
        let before = other.seen.requests();
        assert_eq!(answers(&mut client, 50).await, [(one.address, 50)].into());
        assert_eq!(other.seen.requests(), before);
        say(&says, Serving).await;
        let backend = well(&mut control, 1).await;
        assert_eq!(backend.effective_weight, 1);
        assert_eq!(answers(&mut client, 50).await.len(), 2);
    }
}

#[tokio::test]
async fn what_is_open_at_who_is_out_goes_on() {
    let ((one, _one), (other, says)) = (backend().await, backend().await);
    let check = format!("grpc: {{}}, {OFTEN}");
    let yaml = checked(&[one.address, other.address], &check, "balancer: round_robin");
    let gateway = Gateway::start(&yaml).await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let mut client = gateway.client().await;
        waiting.spawn(async move { client.unary(held()).await.unwrap() });
    }
    eventually("both have one", async || one.seen.active() == 1 && other.seen.active() == 1).await;
    say(&says, NotServing).await;
    let backend = out(&mut control, 1, "NOT_SERVING").await;
    assert_eq!(backend.in_flight, 1);
    assert_eq!(answers(&mut client, 20).await, [(one.address, 20)].into());
    one.release();
    other.release();
    let from: BTreeMap<_, _> =
        waiting.join_all().await.iter().map(|answer| (client::backend(answer), ())).collect();
    assert_eq!(from.len(), 2);
}

#[tokio::test]
async fn keys_of_who_is_out_move_and_come_back_and_no_others_do() {
    for policy in ["consistent_hash", "maglev"] {
        let all = [backend().await, backend().await, backend().await];
        let addresses = all.each_ref().map(|(backend, _)| backend.address);
        let balancer = format!("balancer: {{ policy: {policy}, key: {{ header: x-key }} }}");
        let check = format!("grpc: {{}}, {OFTEN}");
        let gateway = Gateway::start(&checked(&addresses, &check, &balancer)).await;
        let (mut control, mut client) = (gateway.control().await, gateway.client().await);
        let mut homes = async || {
            let mut homes = Vec::new();
            for key in 0..60 {
                let answer = client.unary(with("x", "x-key", &format!("k{key}"))).await.unwrap();
                homes.push(client::backend(&answer));
            }
            homes
        };
        let before = homes().await;
        say(&all[1].1, NotServing).await;
        out(&mut control, 1, "NOT_SERVING").await;
        let during = homes().await;
        for (now, home) in during.iter().zip(&before) {
            assert_ne!(*now, addresses[1]);
            assert!(now == home || *home == addresses[1], "{policy}");
        }
        say(&all[1].1, Serving).await;
        well(&mut control, 1).await;
        assert_eq!(homes().await, before, "{policy}");
    }
}

/// Of four, one by one, at `panic: 50%`.
#[tokio::test]
async fn when_too_few_are_left_all_serve_but_those_that_refuse() {
    let all = [backend().await, backend().await, backend().await, backend().await];
    let addresses = all.each_ref().map(|(backend, _)| backend.address);
    let check = format!("grpc: {{ service: shop.Orders }}, {OFTEN}");
    let yaml = checked(&addresses, &check, "balancer: round_robin");
    let mut gateway = Gateway::start(&yaml).await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    let is = async |index: usize, status| {
        all[index].1.set_service_status("shop.Orders", status).await;
    };
    let weights = |all: &[BackendView]| -> Vec<u32> {
        all.iter().map(|backend| backend.effective_weight).collect()
    };
    // None of them knows the service: all are out, and all serve.
    let seen = control
        .backends_once("all are out", |all| {
            all.iter().all(|backend| state(backend) == (Unhealthy, "NOT_FOUND"))
        })
        .await;
    assert_eq!(weights(&seen), [1, 1, 1, 1]);
    assert_eq!(answers(&mut client, 40).await.len(), 4);
    is(0, Serving).await;
    well(&mut control, 0).await;
    assert_eq!(weights(&control.backends().await), [1, 1, 1, 1], "a quarter is left");
    is(1, Serving).await;
    well(&mut control, 1).await;
    assert_eq!(weights(&control.backends().await), [1, 1, 0, 0], "half of them is enough");
    assert_eq!(answers(&mut client, 40).await.len(), 2);
    // One that refuses gets nothing, and does not count.
    is(1, NotServing).await;
    out(&mut control, 1, "NOT_SERVING").await;
    assert_eq!(weights(&control.backends().await), [1, 0, 1, 1], "a third is left");
    assert_eq!(answers(&mut client, 40).await.len(), 3);
    // A drained one does not count either, and gets nothing.
    control.drain(addresses[3]).await;
    assert_eq!(weights(&control.backends().await), [1, 0, 0, 0], "half is left");
    control.undrain(addresses[3]).await;
    assert!(gateway.reload(&yaml.replace("round_robin", "round_robin\n    panic: 0%")).await);
    assert_eq!(weights(&control.backends().await), [1, 0, 0, 0], "never");
    is(0, NotServing).await;
    out(&mut control, 0, "NOT_SERVING").await;
    let status = client.unary(message("x")).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
}

#[tokio::test]
async fn who_is_out_stays_so_when_it_is_checked_in_another_way() {
    let backend = Backend::start().await;
    let check = format!("grpc: {{}}, {OFTEN}");
    let yaml = checked(&[backend.address], &check, "");
    let mut gateway = Gateway::start(&yaml).await;
    let mut control = gateway.control().await;
    out(&mut control, 0, "UNIMPLEMENTED").await;
    for interval in ["200ms", "1h"] {
        assert!(gateway.reload(&yaml.replace("100ms", interval)).await);
        assert_eq!(state(&control.backends().await[0]), (Unhealthy, "UNIMPLEMENTED"));
    }
    let none = yaml.lines().filter(|line| !line.contains("health:"));
    assert!(gateway.reload(&none.collect::<Vec<_>>().join("\n")).await);
    assert_ne!(control.backends().await[0].state(), Unhealthy, "nobody checks it");
}

#[tokio::test]
async fn who_is_gone_is_out_and_who_comes_back_serves() {
    let ((one, _one), (mut other, _other)) = (backend().await, backend().await);
    let check = format!("grpc: {{}}, {OFTEN}");
    let yaml = checked(&[one.address, other.address], &check, "balancer: round_robin");
    let gateway = Gateway::start(&yaml).await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    other.kill();
    out(&mut control, 1, "connect: refused").await;
    assert_eq!(answers(&mut client, 20).await, [(one.address, 20)].into());
    let (_back, _says) = backend_at(Some(other.address)).await;
    well(&mut control, 1).await;
    assert_eq!(answers(&mut client, 50).await.len(), 2);
}

#[tokio::test]
async fn streams_go_on_at_who_says_that_it_does_not_serve() {
    let (backend, says) = backend().await;
    // Only what it says itself can tell; and what is open then has no limit.
    let settings = "endpoint_drain_timeout: 1ms";
    let yaml = checked(&[backend.address], "grpc: {}, interval: 1h, timeout: 60s", settings);
    let gateway = Gateway::start(&yaml).await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    say(&says, Serving).await;
    well(&mut control, 0).await;
    let (requests, receiver) = tokio::sync::mpsc::channel(1);
    let receiver = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut answers = client.bidi(receiver).await.unwrap().into_inner();
    for _ in 0..3 {
        requests.send(message("x")).await.unwrap();
        answers.message().await.unwrap().unwrap();
        say(&says, NotServing).await;
        let told = out(&mut control, 0, "NOT_SERVING").await;
        assert_eq!(told.effective_weight, 0);
        let refused = client.unary(message("x")).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    }
    drop(requests);
    assert!(answers.message().await.unwrap().is_none());
    control.backends_once("it is empty", |all| all[0].open_streams == 0).await;
}
