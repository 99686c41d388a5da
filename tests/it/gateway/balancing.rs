//! The policies, where they matter: between real clients and real backends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use tokio::task::JoinSet;

use crate::support::backend::{Backend, Options};
use crate::support::client::{self, message, with};
use crate::support::gateway::{Gateway, one_service};

fn policy(backends: &[Backend], policy: &str) -> String {
    let addresses: Vec<SocketAddr> = backends.iter().map(|backend| backend.address).collect();
    one_service(&addresses, &format!("balancer: {{ policy: {policy} }}"))
}

async fn several(count: usize) -> Vec<Backend> {
    let mut backends = Vec::new();
    for _ in 0..count {
        backends.push(Backend::start().await);
    }
    backends
}

#[tokio::test]
async fn a_key_goes_to_one_backend_on_every_connection_and_after_a_restart() {
    let backends = several(4).await;
    let yaml = policy(&backends, "consistent_hash, key: { header: x-user-id }");
    let mut homes: BTreeMap<String, SocketAddr> = BTreeMap::new();
    for _ in 0..2 {
        let gateway = Gateway::start(&yaml).await;
        // Connections are given to the workers in turns.
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(gateway.client().await);
        }
        for client in &mut clients {
            for user in 0..100 {
                let user = format!("user-{user}");
                let answer = client.unary(with("x", "x-user-id", &user)).await.unwrap();
                let home = client::backend(&answer);
                assert_eq!(*homes.entry(user).or_insert(home), home);
            }
        }
        gateway.shutdown().await;
    }
    let used: BTreeSet<_> = homes.into_values().collect();
    assert_eq!(used.len(), 4, "a hundred keys find every backend");
}

#[tokio::test]
async fn round_robin_gives_each_its_turn() {
    let backends = several(3).await;
    let gateway = Gateway::start(&policy(&backends, "round_robin")).await;
    let mut client = gateway.client().await; // one connection: one worker, one order
    for round in 1..=20 {
        for _ in &backends {
            client.unary(message("x")).await.unwrap();
        }
        assert!(backends.iter().all(|backend| backend.seen.requests() == round));
    }
}

#[tokio::test]
async fn weighted_random_uses_all() {
    let backends = several(3).await;
    let gateway = Gateway::start(&policy(&backends, "weighted_random")).await;
    let mut client = gateway.client().await;
    for _ in 0..600 {
        client.unary(message("x")).await.unwrap();
    }
    for backend in &backends {
        // Eight standard deviations around 200.
        assert!((107..=293).contains(&backend.seen.requests()));
    }
}

#[tokio::test]
async fn p2c_ewma_flees_a_slow_backend() {
    let slow = Backend::with(Options { latency: Some(200..210), ..Options::default() }).await;
    let fast = Backend::start().await;
    let backends = [slow, fast];
    let gateway = Gateway::start(&policy(&backends, "p2c_ewma")).await;
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let mut client = gateway.client().await;
        callers.spawn(async move {
            for _ in 0..100 {
                client.unary(message("x")).await.unwrap();
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    let to_slow = backends[0].seen.requests();
    assert!(to_slow < 160, "{to_slow} of 800 went to the slow one");
}
