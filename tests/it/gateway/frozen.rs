//! Backends whose process is stopped, and goes on later.

use std::time::Duration;

use equipoise::control::proto::BackendState::{Ejected, Ready};
use tokio::time::sleep;

use crate::support::backend::Backend;
use crate::support::client::message;
use crate::support::gateway::{Gateway, one_service};
use crate::support::process::Process;
use crate::support::{eventually, soon};

/// A connection is not given up while the machine is slow.
const SETTINGS: &str = "balancer: round_robin\nkeepalive: { timeout: 1h }";

#[tokio::test]
async fn a_stopped_process_gets_nothing_new_and_is_back_when_it_goes_on() {
    for workers in [1, 2] {
        let (mut backends, mut processes) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let backend = Backend::start().await;
            processes.push(Process::start(&one_service(&[backend.address], "")).await);
            backends.push(backend);
        }
        let fronts: Vec<_> = processes.iter().map(|process| process.front).collect();
        let yaml = one_service(&fronts, SETTINGS);
        let yaml = yaml.replace("workers: 2", &format!("workers: {workers}"));
        let gateway = Gateway::start(&yaml).await;
        let mut control = gateway.control().await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(gateway.client().await);
        }
        for n in 0..120 {
            clients[n % 4].unary(message("x")).await.unwrap();
        }
        processes[1].signal("-STOP");
        let mut open = Vec::new();
        eventually("it is a suspect", async || {
            let mut client = clients[open.len() % 4].clone();
            open.push(tokio::spawn(async move { client.unary(message("x")).await }));
            sleep(Duration::from_millis(10)).await;
            let seen = &control.backends().await[1];
            seen.state() == Ejected && seen.state_reason.starts_with("SUSPECT")
        })
        .await;
        for n in 0..60 {
            soon("the others answer", clients[n % 4].unary(message("x"))).await.unwrap();
        }
        let counted = gateway.metrics().await;
        assert!(counted.value("equipoise_ejections_total", &[("reason", "suspect")]) >= 1.0);
        processes[1].signal("-CONT");
        eventually("it is back", async || control.backends().await[1].state() == Ready).await;
        for call in open {
            soon("what was open is answered", call).await.unwrap().unwrap();
        }
    }
}

/// The connection on which the freeze was found is lost. The other worker's owes nothing, so nothing
/// is asked there.
#[tokio::test]
async fn one_that_was_lost_is_back_though_another_worker_has_an_idle_connection() {
    let (mut backends, mut processes) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let backend = Backend::start().await;
        processes.push(Process::start(&one_service(&[backend.address], "")).await);
        backends.push(backend);
    }
    let fronts: Vec<_> = processes.iter().map(|process| process.front).collect();
    let settings = "balancer: round_robin\nkeepalive: { interval: 1s, timeout: 1s }";
    let gateway = Gateway::start(&one_service(&fronts, settings)).await;
    let mut control = gateway.control().await;
    let mut clients = [gateway.client().await, gateway.client().await];
    for n in 0..60 {
        clients[n % 2].unary(message("x")).await.unwrap();
    }
    processes[1].signal("-STOP");
    let mut open = Vec::new();
    eventually("it is a suspect", async || {
        let mut client = clients[0].clone();
        open.push(tokio::spawn(async move { client.unary(message("x")).await }));
        sleep(Duration::from_millis(10)).await;
        control.backends().await[1].state_reason.starts_with("SUSPECT")
    })
    .await;
    for call in open {
        let _ = soon("each call ends, as the connection is lost", call).await.unwrap();
    }
    processes[1].signal("-CONT");
    eventually("it is back", async || control.backends().await[1].state() == Ready).await;
}
