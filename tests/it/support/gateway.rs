//! The gateway in this process, on ephemeral ports.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use equipoise::app;
use equipoise::control::proto::control_client::ControlClient;
use equipoise::control::proto::{self, Backend as BackendView};
use equipoise::model::SocketAddress;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;

use super::client::{self, Client};
use super::eventually;
use crate::telemetry::page::Page;

/// The head of every configuration.
pub const PORTS: &str = "\
workers: 2
listeners: [ { address: 127.0.0.1:0 } ]
control: { address: 127.0.0.1:0 }
metrics: { address: 127.0.0.1:0 }
";

/// A configuration with the service `echo`, with these endpoints and a route for everything.
/// `settings` are more lines of the service.
pub fn one_service(endpoints: &[SocketAddr], settings: &str) -> String {
    let mut yaml = format!("{PORTS}services:\n  echo:\n");
    // No timeout may expire on a loaded machine, and no connection is opened but by a request.
    let patient = ["connect_timeout: 60s", "pending_timeout: 60s", "preconnect: 0"];
    let key = |line: &str| line.split_once(':').map(|(key, _)| key.to_owned());
    let chosen: Vec<_> = settings.lines().map(key).collect();
    let patient = patient.into_iter().filter(|line| !chosen.contains(&key(line)));
    for line in settings.lines().chain(patient) {
        let _ = writeln!(yaml, "    {line}");
    }
    yaml += "    endpoints:\n";
    for endpoint in endpoints {
        let _ = writeln!(yaml, "      - address: {endpoint}");
    }
    yaml + "routes: [ { service: echo } ]\n"
}

pub struct Gateway {
    inner: app::Gateway,
}

impl Gateway {
    pub async fn start(yaml: &str) -> Gateway {
        Gateway::start_in(yaml, Path::new("")).await
    }

    /// As `start`, with the configuration's files in `folder`.
    pub async fn start_in(yaml: &str, folder: &Path) -> Gateway {
        let plan = equipoise::config::parse(yaml, folder);
        let plan = plan.unwrap_or_else(|report| panic!("{}\n{yaml}", report.pretty()));
        Gateway { inner: app::Gateway::start(plan).await.unwrap() }
    }

    /// Reloads; returns whether the configuration was accepted.
    pub async fn reload(&mut self, yaml: &str) -> bool {
        self.reload_in(yaml, Path::new("")).await
    }

    /// As `reload`, with the configuration's files in `folder`.
    pub async fn reload_in(&mut self, yaml: &str, folder: &Path) -> bool {
        self.inner.reload(equipoise::config::parse(yaml, folder)).await == app::Reloaded::Done
    }

    /// A gateway with these endpoints and default settings.
    pub async fn to(endpoints: &[SocketAddr]) -> Gateway {
        Gateway::start(&one_service(endpoints, "")).await
    }

    pub fn front(&self) -> SocketAddr {
        self.fronts()[0]
    }

    /// The ports of its client listeners.
    pub fn fronts(&self) -> Vec<SocketAddr> {
        self.inner.listeners().iter().filter_map(SocketAddress::ip).collect()
    }

    pub async fn client(&self) -> Client {
        client::connect(self.front()).await
    }

    pub async fn control(&self) -> Control {
        Control::connect(self.control_address()).await
    }

    pub fn control_address(&self) -> SocketAddr {
        self.inner.control().iter().find_map(SocketAddress::ip).unwrap()
    }

    pub fn metrics_address(&self) -> SocketAddr {
        self.inner.metrics().ip().unwrap()
    }

    pub async fn metrics(&self) -> Page {
        let page = scrape(self.metrics_address()).await;
        page.check_outcomes();
        page
    }

    /// Waits until every gauge of activity is zero.
    pub async fn idle(&self) {
        eventually("no request is in flight", async || {
            let page = self.metrics().await;
            let none = |gauge| page.samples(gauge).iter().all(|sample| sample.value == 0.0);
            let gauges = [
                "equipoise_backend_in_flight",
                "equipoise_backend_open_streams",
                "equipoise_open_exchanges",
            ];
            gauges.into_iter().all(none)
        })
        .await;
    }

    pub async fn shutdown(self) {
        self.inner.shutdown().await;
    }
}

/// The metrics that are served at `address`.
pub async fn scrape(address: SocketAddr) -> Page {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: gateway\r\n\r\n").await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    Page::parse(body)
}

/// A client of the control API, for the service `echo`.
pub struct Control(pub ControlClient<Channel>);

impl Control {
    pub async fn connect(address: SocketAddr) -> Control {
        Control(ControlClient::connect(format!("http://{address}")).await.unwrap())
    }

    pub async fn set_weights(&mut self, weights: &[(SocketAddr, u32)]) {
        let weights = weights.iter().map(|(address, weight)| (address.to_string(), *weight));
        let request = proto::SetWeightsRequest {
            service: "echo".into(),
            weights: weights.collect(),
            ..Default::default()
        };
        self.0.set_weights(request).await.unwrap();
    }

    pub async fn drain(&mut self, backend: SocketAddr) {
        let request = proto::DrainBackendRequest {
            service: "echo".into(),
            backend: backend.to_string(),
            ..Default::default()
        };
        self.0.drain_backend(request).await.unwrap();
    }

    pub async fn undrain(&mut self, backend: SocketAddr) {
        let request = proto::UndrainBackendRequest {
            service: "echo".into(),
            backend: backend.to_string(),
            ..Default::default()
        };
        self.0.undrain_backend(request).await.unwrap();
    }

    pub async fn add(&mut self, backend: SocketAddr) {
        self.add_at(&backend.to_string()).await;
    }

    /// Adds a backend at an address that may be a name.
    pub async fn add_at(&mut self, address: &str) {
        let backend = proto::NewBackend { address: address.into(), weight: None };
        let request = proto::AddBackendsRequest {
            service: "echo".into(),
            backends: vec![backend],
            ..Default::default()
        };
        self.0.add_backends(request).await.unwrap();
    }

    /// Removes backends, even the last ones.
    pub async fn remove(&mut self, backends: &[SocketAddr]) {
        self.remove_at(&backends.iter().map(SocketAddr::to_string).collect::<Vec<_>>()).await;
    }

    /// As `remove`, at addresses that may be names.
    pub async fn remove_at(&mut self, addresses: &[String]) {
        let request = proto::RemoveBackendsRequest {
            service: "echo".into(),
            addresses: addresses.into(),
            allow_empty: true,
            ..Default::default()
        };
        self.0.remove_backends(request).await.unwrap();
    }

    pub async fn set_policy(&mut self, policy: &str) {
        let request = proto::SetPolicyRequest {
            service: "echo".into(),
            policy: policy.into(),
            ..Default::default()
        };
        self.0.set_policy(request).await.unwrap();
    }

    /// The current backends.
    pub async fn backends(&mut self) -> Vec<BackendView> {
        let request = proto::GetServiceRequest { service: "echo".into(), since_revision: None };
        self.0.get_service(request).await.unwrap().into_inner().backends
    }

    /// The backends, once they satisfy `check`.
    pub async fn backends_once(
        &mut self,
        what: &str,
        check: impl Fn(&[BackendView]) -> bool,
    ) -> Vec<BackendView> {
        let mut seen = Vec::new();
        eventually(what, async || {
            seen = self.backends().await;
            check(&seen)
        })
        .await;
        seen
    }
}
