//! What is served beside clients: the control API, the metrics, health.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::StartError;
use crate::clock::Clock;
use crate::config::Plan;
use crate::control;
use crate::net::{self, Descriptors, leaves_ipv4};
use crate::service::Registry;
use crate::tasks::{Task, Tasks, lasting};
use crate::telemetry::{Certificates, Exporter, Health, Readiness, RefusedConnections, Server};

type Failure = Box<dyn Error + Send + Sync>;

/// What `grpc.health.v1` knows by name: the whole process, and the control API.
const HEALTH_NAMES: [&str; 2] = ["", control::NAME];

/// What is served, and where.
pub struct Cold {
    pub control: TcpListener,
    pub metrics: TcpListener,
    pub registry: Arc<Registry>,
    pub exporter: Exporter,
    pub refused: Arc<RefusedConnections>,
    pub certificates: Arc<Certificates>,
    pub readiness: watch::Receiver<Readiness>,
    pub tasks: Arc<Tasks>,
    pub clock: Clock,
}

/// A socket of the gateway for others than clients, and where it is.
pub fn bind(
    what: &'static str,
    address: SocketAddr,
    plan: &Plan,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let all: Vec<_> = plan.listeners.iter().filter_map(|listener| listener.address.ip()).collect();
    let own = [plan.control.address, plan.metrics.address];
    let ipv6_only = leaves_ipv4(address, &[&*all, &own].concat());
    let socket = net::bind(address, ipv6_only, false).and_then(net::listen);
    let socket = socket.and_then(tokio::net::TcpListener::into_std);
    let at = socket.and_then(|socket| Ok((socket.local_addr()?, socket)));
    let (bound, socket) = at.map_err(|source| {
        let address = address.into();
        StartError::Listen { what, address, source }
    })?;
    Ok((socket, bound))
}

impl Cold {
    /// Serves it until `running` says stop.
    pub fn start(self, running: &watch::Receiver<bool>) -> JoinSet<()> {
        let Cold { control, metrics, registry, exporter, refused, certificates, .. } = self;
        let Cold { readiness, tasks, clock, .. } = self;
        let descriptors = Descriptors::now();
        let health = Health::default();
        let mut cold = JoinSet::new();
        let (answers, ready, stop) = (health.clone(), readiness.clone(), running.clone());
        let follow = move || {
            let following = answers.clone().follow(&HEALTH_NAMES, ready.clone(), stopped(&stop));
            tokio::spawn(lasting(following))
        };
        cold.spawn(Arc::clone(&tasks).keep::<Infallible>(Task::Metrics, follow));
        let stop = running.clone();
        let look = move || tokio::spawn(look_at(Arc::clone(&certificates), stopped(&stop)));
        cold.spawn(Arc::clone(&tasks).keep(Task::Certificates, look));
        let api = control::Server {
            registry,
            health: health.server(),
            places: descriptors.control,
            refusals: refused.at("control"),
            clock,
        };
        let stop = running.clone();
        let serve = move || {
            let (api, socket, stop) = (api.clone(), again(&control), stopped(&stop));
            tokio::spawn(async move { Ok::<_, Failure>(api.run(socket?, stop).await?) })
        };
        cold.spawn(Arc::clone(&tasks).keep(Task::Control, serve));
        let server = Server {
            exporter,
            health,
            readiness,
            places: descriptors.metrics,
            refusals: refused.at("metrics"),
            clock,
        };
        let stop = running.clone();
        let serve = move || {
            let (server, socket, stop) = (server.clone(), again(&metrics), stopped(&stop));
            tokio::spawn(async move {
                server.run(socket?, stop).await;
                Ok::<_, io::Error>(())
            })
        };
        cold.spawn(tasks.keep(Task::Metrics, serve));
        cold
    }
}

async fn look_at(
    certificates: Arc<Certificates>,
    stop: impl Future<Output = ()>,
) -> Result<(), Infallible> {
    tokio::select! {
        () = certificates.look_daily() => {}
        () = stop => {}
    }
    Ok(())
}

/// The same socket, for one who serves on it, which may not be the first.
fn again(socket: &TcpListener) -> io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(socket.try_clone()?)
}

/// Ends when the sender says so, or is gone.
fn stopped(signal: &watch::Receiver<bool>) -> impl Future<Output = ()> + Send + use<> {
    let mut signal = signal.clone();
    async move {
        let _ = signal.wait_for(|stop| *stop).await; // an error: the gateway itself is gone
    }
}
