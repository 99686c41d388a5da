//! Connections that are there before requests are, and states that say what is.

use std::net::SocketAddr;

use equipoise::control::proto::BackendState::{self, Connecting, Draining, Idle, Ready};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::support::backend::{Backend, Options};
use crate::support::certificates::Authority;
use crate::support::client::message;
use crate::support::gateway::{Control, Gateway, PORTS, one_service};
use crate::support::process::Process;
use crate::support::{eventually, soon};

/// Waits until the backends are in these states.
async fn states(control: &mut Control, wanted: &[BackendState]) {
    let mut seen = Vec::new();
    let all = async || {
        seen = control.backends().await.iter().map(|backend| backend.state()).collect();
        seen == wanted
    };
    soon(&format!("{wanted:?}"), eventually("so it is", all)).await;
}

/// An address where nobody is.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// What the metrics say of the backends, by the gauge `up`, in their order.
async fn up(gateway: &Gateway, backends: &[SocketAddr]) -> Vec<Option<f64>> {
    let page = gateway.metrics().await;
    let samples = page.samples("equipoise_backend_up");
    let of = |backend: &SocketAddr| {
        let sample = samples.iter().find(|s| s.labels["backend"] == backend.to_string());
        sample.map(|sample| sample.value)
    };
    backends.iter().map(of).collect()
}

async fn connections(gateway: &Gateway) -> f64 {
    gateway.metrics().await.value("equipoise_connections", &[("side", "upstream")])
}

#[tokio::test]
async fn without_a_request_states_tell_who_can_be_reached() {
    let well = Backend::start().await;
    let backends = [well.address, nowhere().await];
    let gateway = Gateway::start(&one_service(&backends, "preconnect: 100")).await;
    let mut control = gateway.control().await;
    states(&mut control, &[Ready, Connecting]).await;
    assert_eq!(up(&gateway, &backends).await, [Some(1.0), Some(0.0)]);
    control.add_at("no-such-name.invalid:80").await;
    states(&mut control, &[Ready, Connecting, Connecting]).await;
    assert_eq!(well.seen.requests(), 0);
}

#[tokio::test]
async fn who_comes_back_is_ready_without_a_request() {
    let mut backend = Backend::start().await;
    let address = backend.address;
    let gateway = Gateway::start(&one_service(&[address], "preconnect: 1")).await;
    let mut control = gateway.control().await;
    states(&mut control, &[Ready]).await;
    for _ in 0..2 {
        backend.kill();
        states(&mut control, &[Connecting]).await;
        backend = Backend::with(Options { address: Some(address), ..Options::default() }).await;
        states(&mut control, &[Ready]).await;
    }
    backend.leave();
    drop(backend);
    let backend = Backend::with(Options { address: Some(address), ..Options::default() }).await;
    eventually("a connection is there again", async || connections(&gateway).await == 1.0).await;
    states(&mut control, &[Ready]).await;
    assert_eq!(backend.seen.requests(), 0);
}

#[tokio::test]
async fn one_connection_for_each_endpoint_and_only_for_so_many() {
    let backends = [Backend::start().await, Backend::start().await, Backend::start().await];
    let addresses = backends.each_ref().map(|backend| backend.address);
    let yaml = one_service(&addresses, "preconnect: 2").replace("workers: 2", "workers: 4");
    let mut gateway = Gateway::start(&yaml).await;
    let mut control = gateway.control().await;
    states(&mut control, &[Ready, Ready, Idle]).await;
    assert_eq!(connections(&gateway).await, 2.0);
    assert_eq!(up(&gateway, &addresses).await, [Some(1.0), Some(1.0), None]);

    control.drain(addresses[0]).await;
    states(&mut control, &[Draining, Ready, Ready]).await;
    control.set_weights(&[(addresses[1], 0)]).await;
    assert!(gateway.reload(&yaml.replace("preconnect: 2", "preconnect: 3")).await);
    control.undrain(addresses[0]).await;
    states(&mut control, &[Ready, Ready, Ready]).await;
    assert_eq!(connections(&gateway).await, 3.0, "a change of this does not make them anew");
}

#[tokio::test]
async fn http1_is_connected_to_and_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gateway = Gateway::start(&one_service(&[address], "protocol: http1\npreconnect: 1")).await;
    let (mut socket, _) = soon("it connects", listener.accept()).await.unwrap();
    let mut rest = Vec::new();
    soon("it ends", socket.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
    states(&mut gateway.control().await, &[Ready]).await;
}

/// Each line of the log that says why a backend cannot be reached.
fn says<'a>(part: &'a str) -> impl Fn(&serde_json::Value) -> bool + 'a {
    move |line| {
        let unreachable = line["message"] == "the backend cannot be reached";
        unreachable && line["error"].as_str().is_some_and(|error| error.contains(part))
    }
}

#[tokio::test]
async fn a_new_cause_is_a_new_line() {
    let authority = Authority::new();
    let identity = authority.issue("backend", "backend.test");
    let tls = tonic::transport::ServerTlsConfig::new().identity(identity);
    let backend = Backend::with(Options { tls: Some(tls), ..Options::default() }).await;
    let other = Authority::new();
    let yaml = |folder: &std::path::Path, name: &str| {
        format!(
            "{PORTS}services:\n  echo:\n    tls: {{ ca: {}, server_name: {name} }}\n    \
             endpoints: [ {{ address: {} }} ]\nroutes: [ {{ service: echo }} ]\n",
            folder.join("ca.pem").display(),
            backend.address
        )
    };
    let gateway = Process::start(&yaml(other.folder(), "backend.test")).await;
    gateway.said(says("invalid peer certificate")).await;
    gateway.configure(&yaml(authority.folder(), "elsewhere.test"));
    gateway.said(says("elsewhere.test")).await;
    gateway.configure(&yaml(authority.folder(), "backend.test"));
    gateway.said(|line| line["message"] == "the backend can be reached again").await;
    assert_eq!(gateway.count(says("")), 2);
    let mut client = crate::support::client::connect(gateway.front).await;
    client.unary(message("x")).await.unwrap();
}

#[tokio::test]
async fn a_backend_that_wants_a_certificate_is_told_of_as_one() {
    let authority = Authority::new();
    let identity = authority.issue("backend", "backend.test");
    let tls = tonic::transport::ServerTlsConfig::new().identity(identity);
    let tls = tls.client_ca_root(authority.certificate());
    let backend = Backend::with(Options { tls: Some(tls), ..Options::default() }).await;
    let yaml = format!(
        "{PORTS}services:\n  echo:\n    tls: {{ ca: {}, server_name: backend.test }}\n    \
         endpoints: [ {{ address: {} }} ]\nroutes: [ {{ service: echo }} ]\n",
        authority.folder().join("ca.pem").display(),
        backend.address
    );
    let gateway = Process::start(&yaml).await;
    gateway.said(says("does it want a client certificate (tls.cert, tls.key)")).await;
}
