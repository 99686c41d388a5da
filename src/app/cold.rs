//! The cold servers: control API, metrics and health.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::cold_sockets::Entrances;
use super::control_clients::ControlClients;
use crate::clock::Clock;
use crate::control;
use crate::net::{Descriptors, Incoming, ListeningSocket};
use crate::service::Registry;
use crate::tasks::{Task, Tasks, infallible};
use crate::telemetry::{Certificates, Exporter, Health, Readiness, RefusedConnections, Server};

/// Names in `grpc.health.v1`: the whole process, and the control API.
const HEALTH_NAMES: [&str; 2] = ["", control::NAME];

/// The cold servers and their parts.
pub struct ColdServers {
    pub control: Vec<Arc<ListeningSocket>>,
    pub entrances: Entrances,
    pub metrics: Arc<ListeningSocket>,
    pub registry: Arc<Registry>,
    pub exporter: Exporter,
    pub refused: Arc<RefusedConnections>,
    pub certificates: Arc<Certificates>,
    pub readiness: watch::Receiver<Readiness>,
    pub tasks: Arc<Tasks>,
    pub clock: Clock,
}

impl ColdServers {
    /// Serves until `running` signals the stop.
    pub fn start(self, running: &watch::Receiver<bool>) -> JoinSet<()> {
        let ColdServers { control, entrances, metrics, registry, exporter, refused, .. } = self;
        let ColdServers { certificates, readiness, tasks, clock, .. } = self;
        let descriptors = Descriptors::now();
        let health = Health::default();
        let mut cold = JoinSet::new();
        let (answers, ready, stop) = (health.clone(), readiness.clone(), running.clone());
        let follow = move || {
            let following = answers.clone().follow(&HEALTH_NAMES, ready.clone(), stopped(&stop));
            tokio::spawn(infallible(following))
        };
        cold.spawn(Arc::clone(&tasks).supervise::<Infallible>(Task::Metrics, follow));
        let stop = running.clone();
        let look =
            move || tokio::spawn(check_certificates(Arc::clone(&certificates), stopped(&stop)));
        cold.spawn(Arc::clone(&tasks).supervise(Task::Certificates, look));
        let (services, stop) = (Arc::clone(&registry), running.clone());
        let expire = move || tokio::spawn(expire_splits(Arc::clone(&services), stopped(&stop)));
        cold.spawn(Arc::clone(&tasks).supervise(Task::Overrides, expire));
        let api = control::Server {
            registry,
            door: entrances.door,
            health: health.server(),
            max_connections: descriptors.control,
            refusals: refused.at("control"),
            clock,
        };
        let stop = running.clone();
        let serve = move || {
            let clients = ControlClients::new(&control);
            tokio::spawn(api.clone().run(clients, stopped(&stop)))
        };
        cold.spawn(Arc::clone(&tasks).supervise(Task::Control, serve));
        let server = Server {
            exporter,
            health,
            readiness,
            max_connections: descriptors.metrics,
            entrance: entrances.metrics,
            refusals: refused.at("metrics"),
            clock,
        };
        let stop = running.clone();
        let serve = move || {
            let (server, clients) = (server.clone(), Incoming(Arc::clone(&metrics)));
            let serving = server.run(clients, stopped(&stop));
            tokio::spawn(async move {
                serving.await;
                Ok::<_, Infallible>(())
            })
        };
        cold.spawn(tasks.supervise(Task::Metrics, serve));
        cold
    }
}

async fn check_certificates(
    certificates: Arc<Certificates>,
    stop: impl Future<Output = ()>,
) -> Result<(), Infallible> {
    tokio::select! {
        () = certificates.check_daily() => {}
        () = stop => {}
    }
    Ok(())
}

async fn expire_splits(
    registry: Arc<Registry>,
    stop: impl Future<Output = ()>,
) -> Result<(), Infallible> {
    tokio::select! {
        () = registry.expire_splits() => {}
        () = stop => {}
    }
    Ok(())
}

/// Resolves when the stop is signalled or its sender is gone.
fn stopped(signal: &watch::Receiver<bool>) -> impl Future<Output = ()> + Send + use<> {
    let mut signal = signal.clone();
    async move {
        let _ = signal.wait_for(|stop| *stop).await; // an error means the gateway is gone
    }
}
