//! The demo's gateway, started from an ordinary configuration.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use super::backend::Backend;
use super::contender::Contender;
use super::load::{Load, POLICY};
use super::{Args, Failure};
use crate::app::Gateway;
use crate::config;
use crate::model::SocketAddress;

/// The name of the first policy's service.
pub const SERVICE: &str = "echo";
/// The name of the second policy's service.
const OTHER: &str = "echo-beside";

/// Ports to bind on loopback; 0 means any free one.
struct Ports {
    clients: u16,
    control: u16,
    metrics: u16,
}

impl Ports {
    /// Ports as requested, else the defaults, else free ones; also returns the defaults in use by
    /// others.
    fn choose(args: &Args) -> (Ports, Vec<u16>) {
        let mut taken = Vec::new();
        let mut choose = |wanted: Option<u16>, usual| {
            wanted.unwrap_or_else(|| match TcpListener::bind((Ipv4Addr::LOCALHOST, usual)) {
                Ok(_) => usual,
                Err(_) => {
                    taken.push(usual);
                    0
                }
            })
        };
        let ports = Ports {
            clients: choose(args.port, 8080),
            control: choose(args.control_port, 9900),
            metrics: choose(args.metrics_port, 9901),
        };
        (ports, taken)
    }
}

fn configuration(ports: &Ports, policies: &[(&str, &str)], backends: &[Backend]) -> String {
    let Ports { clients, control, metrics } = ports;
    let endpoint = |backend: &Backend| format!("      - address: {}\n", backend.address());
    let endpoints: String = backends.iter().map(endpoint).collect();
    let service = |(name, policy): &(&str, &str)| {
        format!("  {name}:\n    balancer: {{ policy: {policy} }}\n    endpoints:\n{endpoints}")
    };
    let services: String = policies.iter().map(service).collect();
    let route = |(name, policy): &(&str, &str)| {
        format!(
            "  - match: {{ grpc: demo.Echo, headers: {{ {POLICY}: {policy} }} }}\n    service: {name}\n"
        )
    };
    let routes: String = policies.iter().map(route).collect();
    format!(
        "\
workers: 2
drain_timeout: 2s
listeners:
  - address: 127.0.0.1:{clients}
control: {{ address: 127.0.0.1:{control} }}
metrics: {{ address: 127.0.0.1:{metrics} }}
services:
{services}
routes:
{routes}
  - match: {{ grpc: demo.Echo }}
    service: {SERVICE}
"
    )
}

/// The running demo.
pub struct Stage {
    /// The gateway.
    pub gateway: Gateway,
    /// The address for clients.
    pub listener: SocketAddr,
    /// The policies; the first is that of [`SERVICE`].
    pub contenders: Vec<Contender>,
    /// The default ports in use by others, replaced by free ones.
    pub taken: Vec<u16>,
}

/// Starts the gateway in front of `backends`, and a load generator for each policy.
pub async fn gateway(args: &Args, backends: &[Backend]) -> Result<Stage, Failure> {
    let (ports, taken) = Ports::choose(args);
    let mut policies = vec![(SERVICE, args.policy), (OTHER, args.against)];
    policies.dedup_by_key(|(_, policy)| *policy);
    let configuration = configuration(&ports, &policies, backends);
    let plan = config::parse(&configuration, Path::new("")).map_err(|report| report.pretty())?;
    let gateway = Gateway::start(plan).await?;
    let listener = gateway.listeners().first().and_then(SocketAddress::ip);
    let listener = listener.ok_or("the gateway has no listener")?;
    let mut contenders = Vec::new();
    for (name, policy) in policies {
        let service = gateway.services().get(name).ok_or("the gateway has no such service")?;
        let load = Load::start(listener, policy, args.rate)?;
        contenders.push(Contender::new(policy, service, load));
    }
    Ok(Stage { gateway, listener, contenders, taken })
}
