//! Endpoints that are names: a backend for each address that a name resolves to.

use std::net::SocketAddr;

use crate::support::backend::{Backend, Options};
use crate::support::client::{self, message};
use crate::support::dns::NameServer;
use crate::support::eventually;
use crate::support::gateway::{Control, Gateway, PORTS};

/// Backends at the same port of so many addresses of this machine.
async fn backends(count: u8) -> Vec<Backend> {
    let mut all = vec![Backend::start().await];
    for last in 2..=count {
        let at = SocketAddr::from(([127, 0, 0, last], all[0].address.port()));
        all.push(Backend::with(Options { address: Some(at), ..Options::default() }).await);
    }
    all
}

/// A gateway whose service has these endpoints; waits until it has so many backends.
async fn gateway(server: &NameServer, endpoints: &str, count: usize) -> Gateway {
    let gateway = Gateway::start(&format!(
        "{PORTS}{}services: {{ echo: {{ balancer: round_robin, connect_timeout: 60s, pending_timeout: 60s, \
         endpoints: [ {endpoints} ] }} }}\nroutes: [ {{ service: echo }} ]\n",
        server.yaml()
    ))
    .await;
    let mut control = gateway.control().await;
    eventually("its names are resolved", async || control.backends().await.len() == count).await;
    gateway
}

/// How many of 120 requests each backend gets.
async fn shares(gateway: &Gateway, backends: &[Backend]) -> Vec<usize> {
    let mut client = gateway.client().await;
    let mut got = vec![0; backends.len()];
    for _ in 0..120 {
        let answer = client.unary(message("x")).await.unwrap();
        let by = client::backend(&answer);
        got[backends.iter().position(|backend| backend.address == by).unwrap()] += 1;
    }
    got
}

async fn set_weight(control: &mut Control, backend: &str, weight: u32) {
    let weights = [(backend.to_owned(), weight)].into();
    let request = equipoise::control::proto::SetWeightsRequest {
        service: "echo".into(),
        weights,
        ..Default::default()
    };
    control.0.set_weights(request).await.unwrap();
}

#[tokio::test]
async fn a_name_shares_its_weight_among_its_addresses() {
    let server = NameServer::start().await;
    let all = backends(4).await;
    let port = all[0].address.port();
    server.set("three.test", &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let endpoints = format!("{{ address: 'three.test:{port}', weight: 3 }}, '127.0.0.4:{port}'");
    let gateway = gateway(&server, &endpoints, 4).await;
    assert_eq!(shares(&gateway, &all).await, [30; 4]);
    let mut control = gateway.control().await;
    let shown: Vec<_> = control.backends().await.into_iter().collect();
    let name = format!("three.test:{port}");
    for (backend, at) in shown.iter().zip(1..=3) {
        let resolved = format!("127.0.0.{at}:{port}");
        assert_eq!((&backend.address, &backend.resolved_address), (&name, &resolved));
        assert_eq!(backend.weight, 3);
    }
    assert_eq!(shown[3].resolved_address, "");
    let page = gateway.metrics().await;
    let label = [("backend", &*name)];
    assert_eq!(page.value("equipoise_requests_total", &label), 90.0);
    assert_eq!(page.value("equipoise_backend_weight", &label), 3.0);
    assert_eq!(page.value("equipoise_backend_up", &label), 1.0);
    let source = [("service", "echo"), ("source", "name")];
    assert_eq!(page.value("equipoise_discovery_up", &source), 1.0);
    assert_eq!(page.value("equipoise_discovery_endpoints", &source), 3.0);
    let request = equipoise::control::proto::ListSourcesRequest::default();
    let [name] = &control.0.list_sources(request).await.unwrap().into_inner().sources[..] else {
        panic!("one name is followed");
    };
    assert_eq!(
        (&*name.kind, &*name.place, name.up, name.backends),
        ("name", "three.test", true, 3)
    );
    gateway.idle().await;
}

#[tokio::test]
async fn operators_steer_a_name_or_one_of_its_addresses() {
    let server = NameServer::start().await;
    let all = backends(3).await;
    let port = all[0].address.port();
    server.set("two.test", &["127.0.0.1", "127.0.0.2"]);
    let name = format!("two.test:{port}");
    let gateway = gateway(&server, &format!("'{name}', '127.0.0.3:{port}'"), 3).await;
    let mut control = gateway.control().await;
    set_weight(&mut control, &name, 4).await;
    assert_eq!(shares(&gateway, &all).await, [48, 48, 24]);
    set_weight(&mut control, &format!("127.0.0.2:{port}"), 0).await;
    assert_eq!(shares(&gateway, &all).await, [80, 0, 40]);
    control.drain(all[0].address).await;
    assert_eq!(shares(&gateway, &all).await, [0, 0, 120]);
    control.undrain(all[0].address).await;
    control.remove(&[all[1].address]).await;
    assert_eq!(control.backends().await.len(), 2);
    assert_eq!(shares(&gateway, &all).await, [80, 0, 40]);
    gateway.idle().await;
}

#[tokio::test]
async fn addresses_come_and_go_and_no_request_fails() {
    let server = NameServer::start().await;
    let all = backends(3).await;
    let port = all[0].address.port();
    server.set("moves.test", &["127.0.0.1", "127.0.0.2"]);
    let gateway = gateway(&server, &format!("'moves.test:{port}'"), 2).await;
    assert_eq!(shares(&gateway, &all).await, [60, 60, 0]);
    server.set("moves.test", &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let mut control = gateway.control().await;
    eventually("the third is found", async || {
        shares(&gateway, &all).await;
        control.backends().await.len() == 3
    })
    .await;
    let third = all[2].seen.requests();
    shares(&gateway, &all).await;
    assert_eq!(all[2].seen.requests() - third, 40);
    gateway.idle().await;
}
