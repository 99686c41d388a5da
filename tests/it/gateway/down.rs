//! Backends that die and return: who is down gets nothing, and who is back gets its share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use equipoise::control::proto::Backend as BackendView;
use equipoise::control::proto::BackendState::{Connecting, Ready};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::backend::{Backend, Options};
use crate::support::client::{self, Client, message, with};
use crate::support::gateway::{Control, Gateway, one_service};
use crate::support::{eventually, soon};

async fn three() -> [Backend; 3] {
    [Backend::start().await, Backend::start().await, Backend::start().await]
}

/// A backend at the address of one that is gone.
async fn back(address: SocketAddr) -> Backend {
    Backend::with(Options { address: Some(address), ..Options::default() }).await
}

fn addresses(backends: &[Backend]) -> Vec<SocketAddr> {
    backends.iter().map(|backend| backend.address).collect()
}

fn is_down(backend: &BackendView) -> bool {
    backend.state() == Connecting && backend.effective_weight == 0
}

/// The view of the backend at `address`, once `check` holds for it.
async fn once(
    control: &mut Control,
    address: SocketAddr,
    check: impl Fn(&BackendView) -> bool,
) -> BackendView {
    let at = |all: &[BackendView]| {
        all.iter().find(|it| it.address == address.to_string()).cloned().unwrap()
    };
    at(&control.backends_once("the backend is so", |all| check(&at(all))).await)
}

/// So many calls on each of these connections; all are answered.
async fn calls(clients: &mut [Client], count: usize) {
    for _ in 0..count {
        for client in &mut *clients {
            soon("an answer", client.unary(message("x"))).await.unwrap();
        }
    }
}

async fn clients(gateway: &Gateway) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(gateway.client().await); // connections are given to the workers in turns
    }
    clients
}

#[tokio::test]
async fn who_is_killed_is_out_at_once_and_back_without_a_request_that_fails() {
    for workers in ["workers: 1", "workers: 2"] {
        let mut backends = three().await;
        let yaml = one_service(&addresses(&backends), "balancer: round_robin");
        let gateway = Gateway::start(&yaml.replace("workers: 2", workers)).await;
        let (mut control, mut clients) = (gateway.control().await, clients(&gateway).await);
        let address = backends[0].address;
        calls(&mut clients, 6).await;
        let mut held = JoinSet::new();
        for client in &clients {
            for _ in 0..3 {
                let mut client = client.clone();
                held.spawn(async move { client.unary(client::held()).await });
            }
        }
        eventually("all are held", async || {
            backends.iter().map(|backend| backend.seen.active()).sum::<usize>() == 12
        })
        .await;
        let lost = backends[0].seen.active();
        backends[0].kill();
        let down = once(&mut control, address, is_down).await;
        assert_eq!(down.weight, 1);
        assert!(down.state_seconds.is_some(), "{down:?}");
        calls(&mut clients, 20).await;
        let refused = |it: &BackendView| it.state_reason.starts_with("unreachable: ");
        assert!(is_down(&once(&mut control, address, refused).await));
        let page = gateway.metrics().await;
        let state = [("backend", &*address.to_string()), ("state", "CONNECTING")];
        assert_eq!(page.value("equipoise_backend_state", &state), 1.0);

        backends[0] = back(address).await;
        once(&mut control, address, |it| it.state() == Ready && it.effective_weight == 1).await;
        assert_eq!(backends[0].seen.requests(), 0, "no request is risked");
        calls(&mut clients, 6).await;
        assert!(backends[0].seen.requests() > 0);
        backends.iter().for_each(Backend::release);
        let mut failed = 0;
        while let Some(ended) = held.join_next().await {
            failed += usize::from(ended.unwrap().is_err());
        }
        assert_eq!(failed, lost, "nothing else fails than what it had");
        gateway.idle().await;
    }
}

#[tokio::test]
async fn where_nobody_is_no_request_goes_twice() {
    let well = Backend::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = listener.local_addr().unwrap();
    drop(listener);
    let yaml = one_service(&[well.address, nowhere], "balancer: round_robin");
    let gateway = Gateway::start(&yaml).await;
    let (mut control, mut clients) = (gateway.control().await, clients(&gateway).await);
    calls(&mut clients, 10).await;
    let down = once(&mut control, nowhere, is_down).await;
    assert!(down.state_reason.contains("onnection refused"), "{}", down.state_reason);
    assert_eq!(well.seen.requests(), 40);
    let _back = back(nowhere).await;
    once(&mut control, nowhere, |it| it.state() == Ready).await;
}

#[tokio::test]
async fn keys_are_elsewhere_while_their_backend_is_down_and_return() {
    for policy in ["maglev", "consistent_hash"] {
        let mut backends = three().await;
        let balancer = format!("balancer: {{ policy: {policy}, key: {{ header: x-user }} }}");
        let gateway = Gateway::start(&one_service(&addresses(&backends), &balancer)).await;
        let (mut control, mut client) = (gateway.control().await, gateway.client().await);
        let mut homes = async || {
            let mut homes = Vec::new();
            for user in 0..30 {
                let request = with("x", "x-user", &user.to_string());
                homes.push(client::backend(&client.unary(request).await.unwrap()));
            }
            homes
        };
        let before = homes().await;
        let at = backends.iter().position(|backend| backend.address == before[0]).unwrap();
        let address = backends[at].address;
        let mut holds = gateway.client().await;
        let held = tokio::spawn(async move {
            let mut held = client::held();
            held.metadata_mut().insert("x-user", "0".parse().unwrap());
            holds.unary(held).await
        });
        eventually("it is held", async || backends[at].seen.active() == 1).await;
        backends[at].kill();
        held.await.unwrap().unwrap_err();
        once(&mut control, address, is_down).await;
        let away = homes().await;
        for (before, away) in before.iter().zip(away) {
            assert!(away != address && (*before == away || *before == address), "{policy}");
        }
        backends[at] = back(address).await;
        once(&mut control, address, |it| it.state() == Ready).await;
        assert_eq!(homes().await, before, "{policy}");
    }
}

/// Calls on each of these connections until it is enough, and how many have been answered. None fails.
fn load(clients: Vec<Client>, enough: &Arc<AtomicBool>) -> JoinSet<usize> {
    let mut load = JoinSet::new();
    for mut client in clients {
        let enough = Arc::clone(enough);
        load.spawn(async move {
            let mut answered = 0;
            while !enough.load(SeqCst) {
                soon("an answer", client.unary(message("x"))).await.unwrap();
                answered += 1;
            }
            answered
        });
    }
    load
}

#[tokio::test]
async fn a_rolling_restart_costs_nothing() {
    let mut backends = three().await;
    let gateway = Gateway::start(&one_service(&addresses(&backends), "")).await;
    let enough = Arc::default();
    let load = load(clients(&gateway).await, &enough);
    let mut gone = Vec::new();
    for backend in &mut backends {
        let before = backend.seen.requests();
        eventually("it serves", async || backend.seen.requests() > before).await;
        backend.leave();
        let next = back(backend.address).await;
        gone.push(std::mem::replace(backend, next)); // it finishes what is in flight
        eventually("it serves again", async || backend.seen.requests() > 0).await;
    }
    enough.store(true, SeqCst);
    assert!(load.join_all().await.into_iter().sum::<usize>() > 0);
}

#[tokio::test]
async fn when_all_are_down_requests_wait_for_the_first_that_is_back() {
    let mut backends = three().await;
    let gateway = Gateway::start(&one_service(&addresses(&backends), "")).await;
    let (mut control, mut clients) = (gateway.control().await, clients(&gateway).await);
    calls(&mut clients, 6).await;
    backends.iter_mut().for_each(Backend::kill);
    // What was sent before its end was noticed fails.
    eventually("all are down", async || {
        let mut client = clients[0].clone();
        tokio::spawn(async move { client.unary(message("x")).await });
        control.backends().await.iter().all(is_down)
    })
    .await;
    let mut waiting = JoinSet::new();
    for client in &clients {
        for _ in 0..10 {
            let mut client = client.clone();
            waiting.spawn(async move { client.unary(message("x")).await });
        }
    }
    let mut late = clients[1].clone();
    let mut impatient = tonic::Request::new(message("x"));
    impatient.set_timeout(Duration::from_millis(300));
    let code = late.unary(impatient).await.unwrap_err().code();
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&code), "{code}");
    assert!(waiting.try_join_next().is_none(), "they wait");
    backends[1] = back(backends[1].address).await;
    while let Some(answer) = waiting.join_next().await {
        answer.unwrap().unwrap();
    }
    gateway.idle().await;
}

#[tokio::test]
async fn nobody_waits_longer_than_pending_timeout() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gateway = Gateway::start(&one_service(&[nowhere], "pending_timeout: 50ms")).await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        let status = client.unary(message("x")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
    }
}
