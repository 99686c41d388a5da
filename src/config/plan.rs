//! A configuration that holds: validated values, files read, names resolved.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::files::Sources;
use super::report::Finding;
use crate::model::{Certificate, Place};
use crate::net::ListenerSpec;
use crate::route::RouteTable;
use crate::service::{CountSettings, ServiceConfig};
use crate::telemetry::MetricsSettings;

/// Everything a gateway is started with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Threads that carry requests.
    pub workers: usize,
    /// Where clients connect; one at least, addresses distinct.
    pub listeners: Vec<ListenerSpec>,
    /// Where the control API listens.
    pub control: ControlPlan,
    /// Where metrics are served.
    pub metrics: MetricsPlan,
    /// The services; routes speak of them by index.
    pub services: Vec<ServiceConfig>,
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// Who is asked for names; the servers of the system if there are none here.
    pub dns_servers: Vec<SocketAddr>,
    /// How long clients still come in after the signal to stop, while it says that it is not ready.
    pub drain_delay: Duration,
    /// How long requests in flight may take after the signal to stop.
    pub drain_timeout: Duration,
    /// Bytes that all slow streams of one worker may hold.
    pub worker_buffer: usize,
    /// The longest pause of a worker that carries nothing but flows.
    pub flow_pause: Duration,
    /// What is logged, and how.
    pub log: LogPlan,
    /// The files that it was read from.
    pub sources: Sources,
    /// The certificates in them.
    pub certificates: Vec<Certificate>,
    /// What works but is hardly meant.
    pub warnings: Vec<Finding>,
}

/// Where the control API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlan {
    /// The address; loopback unless `allow_remote`, or a Unix socket.
    pub address: Place,
    /// Who may connect to a Unix socket.
    pub mode: Option<u32>,
    /// Whether other machines may connect: the API has no authentication.
    pub allow_remote: bool,
}

impl Default for ControlPlan {
    fn default() -> ControlPlan {
        ControlPlan { address: loopback(9900), mode: None, allow_remote: false }
    }
}

/// Where metrics are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPlan {
    /// The address.
    pub address: Place,
    /// Who may connect to a Unix socket; whom the umask of the process lets if nothing is said.
    pub mode: Option<u32>,
    /// What is told.
    pub settings: MetricsSettings,
    /// What is counted of services, and how long it is kept.
    pub counts: CountSettings,
}

impl Default for MetricsPlan {
    fn default() -> MetricsPlan {
        let (settings, counts) = (MetricsSettings::default(), CountSettings::default());
        MetricsPlan { address: loopback(9901), mode: None, settings, counts }
    }
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlan {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is logged.
    pub level: LevelFilter,
    /// Bytes of lines that may wait to be written; what is beyond is dropped.
    pub buffer: usize,
}

impl Default for LogPlan {
    fn default() -> LogPlan {
        LogPlan { format: LogFormat::Text, level: LevelFilter::INFO, buffer: 1 << 20 }
    }
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn loopback(port: u16) -> Place {
    Place::Ip((Ipv4Addr::LOCALHOST, port).into())
}
