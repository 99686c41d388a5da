//! That the gateway can be asked whether it lives, however many connect to it, and what it says
//! when it goes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic_health::ServingStatus::{self, NotServing, Serving};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::backend::Backend;
use crate::support::client::{self, message};
use crate::support::gateway::{Control, Gateway, PORTS, one_service, scrape};
use crate::support::process::Process;
use crate::support::{eventually, soon};

const REFUSED: &str = "equipoise_connections_refused_total";

async fn status(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: g\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer[9..12].into()
}

async fn prober(address: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

async fn health(address: SocketAddr) -> ServingStatus {
    let mut health = prober(address).await;
    let asked = HealthCheckRequest { service: String::new() };
    match health.check(asked).await.unwrap().into_inner().status {
        1 => Serving,
        _ => NotServing,
    }
}

/// Connections that say nothing.
async fn silent(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..count {
        silent.extend(TcpStream::connect(address).await.ok());
    }
    silent
}

#[tokio::test]
async fn descriptors_are_kept_for_health_control_and_backends() {
    let backend = Backend::start().await;
    let gateway = Process::limited(&one_service(&[backend.address], ""), "-n 72").await;
    let mut client = client::connect(gateway.front).await;
    let idle = silent(gateway.front, 120).await;
    let silent = (silent(gateway.metrics, 70).await, silent(gateway.control, 70).await);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(status(gateway.metrics, path).await, "200", "{path}");
    }
    assert_eq!(health(gateway.metrics).await, Serving);
    assert_eq!(health(gateway.control).await, Serving);
    assert_eq!(Control::connect(gateway.control).await.backends().await.len(), 1);
    client.unary(message("x")).await.unwrap();
    let page = scrape(gateway.metrics).await;
    let listener = gateway.front.to_string();
    let refused = page.value(REFUSED, &[("listener", &listener), ("reason", "descriptors")]);
    assert!(refused > 60.0, "{refused}");
    gateway.said(|line| line["reason"] == "descriptors").await;
    gateway.said(|line| line["max_connections"] == 20_000).await;
    // Where they go, others may come.
    drop((idle, silent));
    eventually("there is room again", async || {
        let mut other = client::connect(gateway.front).await;
        other.unary(message("x")).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn the_limit_of_descriptors_is_raised() {
    let backend = Backend::start().await;
    let gateway = Process::limited(&one_service(&[backend.address], ""), "-S -n 60").await;
    let page = scrape(gateway.metrics).await;
    assert!(page.value("process_max_fds", &[]) > 60.0);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_counted() {
    let listener = "listeners: [ { address: 127.0.0.1:0, max_connections: 2 } ]";
    let ports = PORTS.replace("listeners: [ { address: 127.0.0.1:0 } ]", listener);
    let backend = Backend::start().await;
    let yaml = one_service(&[backend.address], "").replace(PORTS, &ports);
    let gateway = Gateway::start(&yaml).await;
    let mut idle = silent(gateway.front(), 7).await;
    let mut answer = Vec::new();
    let _ = soon("it is closed", idle[6].read_to_end(&mut answer)).await;
    let front = gateway.front().to_string();
    let labels = [("listener", &*front), ("reason", "max_connections")];
    assert_eq!(gateway.metrics().await.value(REFUSED, &labels), 5.0);
}

#[tokio::test]
async fn it_says_that_it_goes_before_it_goes() {
    let backend = Backend::start().await;
    let yaml = one_service(&[backend.address], "") + "drain_delay: 1h\n";
    let mut gateway = Process::start(&yaml).await;
    let mut watcher = prober(gateway.metrics).await;
    let asked = HealthCheckRequest { service: "equipoise.control.v1.Control".into() };
    let mut watched = watcher.watch(asked).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status, Serving as i32);
    gateway.terminate();
    let last = soon("news", watched.message()).await.unwrap().unwrap();
    assert_eq!(last.status, NotServing as i32);
    for address in [gateway.metrics, gateway.control] {
        assert_eq!(health(address).await, NotServing);
    }
    assert_eq!(status(gateway.metrics, "/readyz").await, "503");
    assert_eq!(status(gateway.metrics, "/healthz").await, "200");
    // Whom the load balancer still sends is served.
    client::connect(gateway.front).await.unary(message("x")).await.unwrap();
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
}
