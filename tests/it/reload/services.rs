//! Reloads that add, change and remove services: streams finish, and overrides stay.

use std::net::SocketAddr;

use tokio_stream::wrappers::ReceiverStream;

use crate::support::backend::Backend;
use crate::support::client::{self, message};
use crate::support::gateway::{Gateway, PORTS, one_service};
use crate::support::{eventually, soon};

/// A configuration with these services, of which the first gets all requests.
fn services(services: &[(&str, SocketAddr)]) -> String {
    let row = |(name, address): &(&str, SocketAddr)| {
        format!("  {name}: {{ preconnect: 0, endpoints: [ {{ address: \"{address}\" }} ] }}\n")
    };
    let rows: String = services.iter().map(row).collect();
    format!("{PORTS}services:\n{rows}routes: [ {{ service: {} }} ]\n", services[0].0)
}

async fn upstream_connections(gateway: &Gateway) -> f64 {
    gateway.metrics().await.value("equipoise_connections", &[("side", "upstream")])
}

async fn names(gateway: &Gateway) -> Vec<String> {
    let page = gateway.metrics().await;
    let samples = page.samples("equipoise_backend_up");
    samples.iter().map(|sample| sample.labels["service"].clone()).collect()
}

#[tokio::test]
async fn a_service_that_is_gone_finishes_its_streams() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let mut gateway = Gateway::start(&services(&[("old", a.address)])).await;
    let mut client = gateway.client().await;
    let (said, heard) = tokio::sync::mpsc::channel(1);
    let mut talk = client.bidi(ReceiverStream::new(heard)).await.unwrap().into_inner();

    assert!(gateway.reload(&services(&[("new", b.address)])).await);
    let answer = client.unary(message("x")).await.unwrap();
    assert_eq!(client::backend(&answer), b.address);
    assert_eq!(names(&gateway).await, ["new", "old"], "it has not finished");
    said.send(message("still here")).await.unwrap();
    assert_eq!(talk.message().await.unwrap().unwrap().payload, b"still here");
    drop(said);
    assert!(soon("it ends", talk.message()).await.unwrap().is_none());
    eventually("it is forgotten", async || names(&gateway).await == ["new"]).await;
    eventually("its connections too", async || upstream_connections(&gateway).await == 1.0).await;

    assert!(gateway.reload(&services(&[("old", a.address)])).await);
    let answer = client.unary(message("x")).await.unwrap();
    assert_eq!(client::backend(&answer), a.address);
}

#[tokio::test]
async fn other_settings_of_connections_make_new_ones_while_old_streams_finish() {
    let backend = Backend::start().await;
    let yaml = |settings: &str| one_service(&[backend.address], settings);
    let mut gateway = Gateway::start(&yaml("")).await;
    let mut client = gateway.client().await;
    let (said, heard) = tokio::sync::mpsc::channel(1);
    let mut talk = client.bidi(ReceiverStream::new(heard)).await.unwrap().into_inner();
    assert_eq!(upstream_connections(&gateway).await, 1.0);

    for same in ["balancer: { policy: round_robin }", "", "balancer: { decay: 5s }"] {
        assert!(gateway.reload(&yaml(same)).await);
        client.unary(message("x")).await.unwrap();
        assert_eq!(upstream_connections(&gateway).await, 1.0, "{same}");
    }
    assert!(gateway.reload(&yaml("max_pending: 5")).await);
    client.unary(message("x")).await.unwrap();
    assert_eq!(upstream_connections(&gateway).await, 2.0);
    said.send(message("still here")).await.unwrap();
    assert_eq!(talk.message().await.unwrap().unwrap().payload, b"still here");
    drop(said);
    assert!(soon("it ends", talk.message()).await.unwrap().is_none());
    eventually("the old one ends", async || upstream_connections(&gateway).await == 1.0).await;
}

#[tokio::test]
async fn what_operators_want_stays_on_top() {
    let [a, b, c] = [Backend::start().await, Backend::start().await, Backend::start().await];
    let mut gateway = Gateway::to(&[a.address, b.address]).await;
    let mut control = gateway.control().await;
    control.set_weights(&[(a.address, 7)]).await;
    control.drain(b.address).await;
    control.add(c.address).await;
    control.set_policy("weighted_random").await;
    for policy in ["round_robin", "p2c_ewma"] {
        let policy = format!("balancer: {{ policy: {policy} }}");
        assert!(gateway.reload(&one_service(&[a.address, b.address], &policy)).await);
    }
    let seen = control.backends().await;
    let seen: Vec<_> = seen.iter().map(|b| (b.weight, b.effective_weight)).collect();
    assert_eq!(seen, [(7, 7), (1, 0), (1, 1)]);
    control.remove(&[b.address]).await;
    assert!(gateway.reload(&one_service(&[a.address, b.address], "")).await);
    assert_eq!(control.backends().await.len(), 2);
}

#[tokio::test]
async fn what_is_unchanged_keeps_its_revision_and_its_statistics() {
    let backend = Backend::start().await;
    let mut gateway = Gateway::to(&[backend.address]).await;
    let mut client = gateway.client().await;
    client.unary(message("x")).await.unwrap();
    gateway.idle().await;
    for _ in 0..3 {
        assert!(gateway.reload(&one_service(&[backend.address], "")).await);
    }
    let mut control = gateway.control().await;
    let request = equipoise::control::proto::GetServiceRequest {
        service: "echo".into(),
        since_revision: None,
    };
    let service = control.0.get_service(request).await.unwrap().into_inner();
    assert_eq!((service.revision, service.backends[0].requests), (1, 1));
}
