//! The demo's gateway: started from a configuration as anyone could write it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use super::backend::Backend;
use super::{Args, Failure};
use crate::app::Gateway;
use crate::config;
use crate::service::Service;

/// The name of the service.
pub const SERVICE: &str = "echo";

/// Where the gateway is to listen on loopback; 0 is any free port.
struct Ports {
    clients: u16,
    control: u16,
    metrics: u16,
}

impl Ports {
    /// What was asked for, else the usual ones, else free ones; and which usual ones are taken.
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

fn configuration(ports: &Ports, policy: &str, backends: &[Backend]) -> String {
    let Ports { clients, control, metrics } = ports;
    let endpoint = |backend: &Backend| format!("      - address: {}\n", backend.address());
    let endpoints: String = backends.iter().map(endpoint).collect();
    format!(
        "\
workers: 2
drain_timeout: 2s
listeners:
  - address: 127.0.0.1:{clients}
control: {{ address: 127.0.0.1:{control} }}
metrics: {{ address: 127.0.0.1:{metrics} }}
services:
  {SERVICE}:
    balancer: {{ policy: {policy} }}
    endpoints:
{endpoints}
routes:
  - match: {{ grpc: demo.Echo }}
    service: {SERVICE}
"
    )
}

/// What runs.
pub struct Stage {
    /// The gateway.
    pub gateway: Gateway,
    /// Where it takes requests.
    pub listener: SocketAddr,
    /// Its one service.
    pub service: Arc<Service>,
    /// The usual ports that are taken, so that free ones took their place.
    pub taken: Vec<u16>,
}

/// Starts the gateway in front of `backends`.
pub async fn gateway(args: &Args, backends: &[Backend]) -> Result<Stage, Failure> {
    let (ports, taken) = Ports::choose(args);
    let configuration = configuration(&ports, args.policy, backends);
    let plan = config::parse(&configuration, Path::new("")).map_err(|report| report.pretty())?;
    let gateway = Gateway::start(plan).await?;
    let listener = *gateway.listeners().first().ok_or("the gateway has no listener")?;
    let service = gateway.services().get(SERVICE).ok_or("the gateway has no service")?;
    Ok(Stage { gateway, listener, service, taken })
}
