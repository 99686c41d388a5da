//! The plan: a validated configuration, with files read and names resolved.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::files::Sources;
use super::report::Finding;
use crate::access::Access;
use crate::model::{Certificate, SocketAddress};
use crate::net::{ListenerSpec, ServerTls};
use crate::route::RouteTable;
use crate::service::{CounterSettings, ServiceConfig};
use crate::telemetry::{EntranceSettings, MetricsSettings};

/// Everything needed to start a gateway.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of worker threads.
    pub workers: usize,
    /// Listeners for clients: at least one, with distinct addresses.
    pub listeners: Vec<ListenerSpec>,
    /// The control API.
    pub control: ControlPlan,
    /// The metrics listener.
    pub metrics: MetricsPlan,
    /// Who may ask there.
    pub entrance: EntranceSettings,
    /// The services; routes refer to them by index.
    pub services: Vec<ServiceConfig>,
    /// The route table.
    pub routes: Arc<RouteTable>,
    /// Name servers; those of the system if empty.
    pub dns_servers: Vec<SocketAddr>,
    /// Drain delay: how long to accept clients after the stop signal, while not ready.
    pub drain_delay: Duration,
    /// Drain timeout: how long requests in flight may take after the stop signal.
    pub drain_timeout: Duration,
    /// Limit of bytes buffered for slow streams, per worker.
    pub worker_buffer: usize,
    /// Maximum pause of a worker that carries only bulk streams (write coalescing).
    pub flow_pause: Duration,
    /// Log settings.
    pub log: LogPlan,
    /// Where what operators change is kept.
    pub overrides: OverridesPlan,
    /// Where changes and refusals are told of.
    pub audit: Option<AuditPlan>,
    /// The sources, to detect changes.
    pub sources: Sources,
    /// The certificates found in them.
    pub certificates: Vec<Certificate>,
    /// Warnings.
    pub warnings: Vec<Finding>,
}

impl Plan {
    /// Where the control API and the metrics listen, as far as that is known before it is bound.
    pub fn own_addresses(&self) -> impl Iterator<Item = SocketAddress> + use<> {
        self.control.places.known().chain([self.metrics.address.clone()])
    }
}

/// The control API.
#[derive(Clone, Debug, Default)]
pub struct ControlPlan {
    /// Where it listens.
    pub places: ControlPlaces,
    /// TLS over TCP; clear text without.
    pub tls: Option<ServerTls>,
    /// Who may do what.
    pub access: Access,
}

/// Where the control API listens: at one of both at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlaces {
    /// The address over TCP.
    pub address: Option<SocketAddr>,
    /// The Unix socket.
    pub socket: ControlSocket,
    /// The file mode of the socket, if it has been chosen.
    pub mode: Option<u32>,
}

impl Default for ControlPlaces {
    fn default() -> ControlPlaces {
        let address = Some((Ipv4Addr::LOCALHOST, 9900).into());
        ControlPlaces { address, socket: ControlSocket::Usual, mode: None }
    }
}

impl ControlPlaces {
    /// Those that are known before anything is bound.
    pub fn known(&self) -> impl Iterator<Item = SocketAddress> + use<> {
        let socket = match &self.socket {
            ControlSocket::At(path) => Some(SocketAddress::Unix(Arc::clone(path))),
            ControlSocket::Usual | ControlSocket::Off => None,
        };
        self.address.map(SocketAddress::Ip).into_iter().chain(socket)
    }
}

/// The Unix socket of the control API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlSocket {
    /// Where `ctl` looks for it.
    Usual,
    /// At this path.
    At(Arc<str>),
    /// None.
    Off,
}

/// The metrics listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPlan {
    /// The address.
    pub address: SocketAddress,
    /// File mode of a Unix socket; by default that of the umask.
    pub mode: Option<u32>,
    /// What is exported.
    pub settings: MetricsSettings,
    /// Settings of services' statistics.
    pub counts: CounterSettings,
}

impl Default for MetricsPlan {
    fn default() -> MetricsPlan {
        let (settings, counts) = (MetricsSettings::default(), CounterSettings::default());
        MetricsPlan { address: loopback(9901), mode: None, settings, counts }
    }
}

/// Where what operators change is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverridesPlan {
    /// The file of the journal; in memory without.
    pub journal: Option<PathBuf>,
}

/// Where changes and refusals are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPlan {
    /// The file.
    pub path: PathBuf,
    /// Whether what cannot be written is not done.
    pub strict: bool,
}

/// Log settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlan {
    /// The format of lines.
    pub format: LogFormat,
    /// The default level.
    pub level: LevelFilter,
    /// Limit of bytes queued to be written; more is dropped.
    pub buffer: usize,
}

impl Default for LogPlan {
    fn default() -> LogPlan {
        LogPlan { format: LogFormat::Text, level: LevelFilter::INFO, buffer: 1 << 20 }
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn loopback(port: u16) -> SocketAddress {
    SocketAddress::Ip((Ipv4Addr::LOCALHOST, port).into())
}
