//! The composition root: the only place that sees every layer.

mod cold;
mod export;
mod listeners;
mod reload;
mod room;
mod worker;

use std::convert::Infallible;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::Plan;
use crate::health::Board;
use crate::model::Place;
use crate::net::{Descriptors, SocketFile, WorkerHandle};
use crate::service::{Builders, Environment, Registry};
use crate::tasks::Tasks;
use crate::telemetry::{
    Certificates, Exporter, Readiness, RefusedConnections, Reloads, WorkerMetrics,
};
use crate::upstream::{Dialer, OwnAddresses, Resolver};
use cold::Cold;
use listeners::Listeners;
use reload::Fixed;
pub use reload::{Reloaded, publish};
use room::Room;
pub use worker::DataPath;
use worker::Workers;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen {
        /// What was to be served there.
        what: &'static str,
        /// The address.
        address: Place,
        /// What the system says, or what is in the way.
        source: std::io::Error,
    },
    /// An address cannot be listened on, and the gateway itself may be why.
    #[error(
        "cannot listen on {address} for clients: {source}; this gateway listens on {held}: \
         unless another program is in the way too, it takes a restart"
    )]
    Held {
        /// What was to be listened on.
        address: Place,
        /// What is listened on.
        held: Place,
        /// What the system says.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}{hint}", hint = hint(.0))]
    Worker(#[source] std::io::Error),
    /// It would have no room for clients.
    #[error(
        "there are not descriptors enough: {limit} may be open, the gateway itself needs {own}, and \
         with those that are kept for backends, control and metrics there is room for {room} \
         clients; raise `ulimit -n` (LimitNOFILE), or have fewer `workers`"
    )]
    Descriptors {
        /// That may be open.
        limit: usize,
        /// That the gateway itself has open.
        own: usize,
        /// Clients that there is room for.
        room: usize,
    },
}

/// The system's number for too many open files, of one process and of all.
const TOO_MANY_OPEN: [Option<i32>; 2] = [Some(24), Some(23)];

/// What helps against an error of the system.
fn hint(error: &std::io::Error) -> &'static str {
    match TOO_MANY_OPEN.contains(&error.raw_os_error()) {
        true => "; raise `ulimit -n` (LimitNOFILE), or have fewer `workers`",
        false => "",
    }
}

/// Time to tell clients why what was in flight has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A running gateway.
pub struct Gateway {
    listeners: Listeners,
    control: Place,
    metrics: Place,
    /// Of control and metrics; they are removed at the end.
    _files: Vec<SocketFile>,
    fixed: Fixed,
    drain_delay: Duration,
    drain_timeout: Duration,
    registry: Arc<Registry>,
    environment: Environment,
    reloads: Arc<Reloads>,
    certificates: Arc<Certificates>,
    /// Why the last reload failed, if it did.
    complaints: Vec<String>,
    room: Room,
    workers: Vec<WorkerHandle>,
    threads: Vec<JoinHandle<()>>,
    /// Closed when there is no worker any more.
    lost: mpsc::Receiver<Infallible>,
    readiness: watch::Sender<Readiness>,
    /// Ends the control API and the metrics.
    stop_cold: watch::Sender<bool>,
    cold: JoinSet<()>,
}

impl Gateway {
    /// Binds every address and starts everything. To be called on the runtime of the cold parts.
    ///
    /// # Errors
    /// When an address cannot be listened on. Nothing runs then.
    pub async fn start(plan: Plan) -> Result<Gateway, StartError> {
        let (tasks, clock) = (Arc::<Tasks>::default(), Clock::start());
        let refused = Arc::<RefusedConnections>::default();
        let own = [plan.control.address.clone(), plan.metrics.address.clone()];
        let mut listeners = Listeners::new(&tasks, &refused, own, clock);
        let prepared = listeners.prepare(&plan.listeners)?;
        let cold::Sockets { control, metrics, files } = cold::Sockets::bind(&plan)?;

        let registry = Arc::new(Registry::new(plan.workers, plan.metrics.counts.clone(), clock));
        let reloads = Arc::new(Reloads::new());
        let counters: Vec<Arc<WorkerMetrics>> = (0..plan.workers).map(|_| Arc::default()).collect();
        let (drain_delay, drain_timeout) = (plan.drain_delay, plan.drain_timeout);
        let fixed = Fixed::of(&plan);
        let certificates = Arc::<Certificates>::default();
        certificates.replace(plan.certificates.clone());
        let state = export::State {
            registry: Arc::clone(&registry),
            tasks: Arc::clone(&tasks),
            reloads: Arc::clone(&reloads),
            certificates: Arc::clone(&certificates),
            refused: Arc::clone(&refused),
        };
        let exporter = Exporter::new(state, counters.clone(), plan.metrics.settings.clone(), clock);
        let places = [control.place(), metrics.place()];
        let dialer = dialer(&plan, &tasks, &places).await?;
        let environment = environment(&plan, &dialer, &tasks, clock).await?;
        let (readiness, ready) = watch::channel(Readiness::Starting);
        let Workers { workers, threads, lost } =
            worker::start(&plan, &registry, &counters, dialer, (&environment, &readiness)).await?;
        let room = Room::measure(&plan)?;
        reload::publish(&registry, &environment, plan).await;

        let (stop_cold, running) = watch::channel(false);
        let cold = Cold {
            control: control.socket,
            metrics: metrics.socket,
            registry: Arc::clone(&registry),
            exporter,
            refused,
            certificates: Arc::clone(&certificates),
            readiness: ready,
            tasks: Arc::clone(&tasks),
            clock,
        };
        let cold = cold.start(&running);
        listeners.commit(prepared, &workers);
        become_ready(&readiness);
        let [control, metrics] = places;
        Ok(Gateway {
            listeners,
            control,
            metrics,
            _files: files,
            fixed,
            drain_delay,
            drain_timeout,
            registry,
            environment,
            reloads,
            certificates,
            complaints: Vec::new(),
            room,
            workers,
            threads,
            lost,
            readiness,
            stop_cold,
            cold,
        })
    }

    /// Where clients connect, in the order of the configuration.
    pub fn listeners(&self) -> Vec<Place> {
        self.listeners.places()
    }

    /// Where the control API is.
    pub fn control(&self) -> &Place {
        &self.control
    }

    /// Where metrics are.
    pub fn metrics(&self) -> &Place {
        &self.metrics
    }

    /// The services, by name.
    pub fn services(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Ends when every worker has ended, although nobody asked for it: nothing is served then.
    pub async fn lost(&mut self) {
        while self.lost.recv().await.is_some() {}
    }

    /// Says that no new traffic should come here, to `/readyz` and `grpc.health.v1`, and serves on
    /// for the drain delay, in which load balancers take notice.
    pub async fn announce_shutdown(&self) {
        self.readiness.send_replace(Readiness::Draining);
        if !self.drain_delay.is_zero() {
            tracing::info!(drain_delay = ?self.drain_delay, "not ready any more");
            tokio::time::sleep(self.drain_delay).await;
        }
    }

    /// Goes down in good order: takes no new connections, asks clients to go, and lets what is
    /// in flight finish, for as long as the drain timeout.
    pub async fn shutdown(mut self) {
        self.readiness.send_replace(Readiness::Draining);
        self.listeners.close().await;
        for worker in &self.workers {
            worker.drain().await;
        }
        let workers = std::mem::take(&mut self.workers);
        if tokio::time::timeout(self.drain_timeout, all_gone(&workers)).await.is_err() {
            cut_off(&workers).await;
        }
        drop(workers); // the workers' inboxes close, which ends them
        for thread in self.threads.drain(..) {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("a worker panicked");
            }
        }
        self.stop_cold.send_replace(true);
        while self.cold.join_next().await.is_some() {}
    }
}

/// What finds backends, except for what is at these `places`.
async fn dialer(
    plan: &Plan,
    tasks: &Arc<Tasks>,
    places: &[Place],
) -> Result<Arc<Dialer>, StartError> {
    let resolver = Resolver::start(plan.dns_servers.clone(), tasks).await;
    let resolver = resolver.map_err(StartError::Worker)?;
    let own = OwnAddresses::new(places.iter().cloned());
    Ok(Arc::new(Dialer::new(resolver, own, most_kept())))
}

/// What the services of `plan` live on. To be called on the runtime of the cold parts.
async fn environment(
    plan: &Plan,
    dialer: &Arc<Dialer>,
    tasks: &Arc<Tasks>,
    clock: Clock,
) -> Result<Environment, StartError> {
    let seed = fastrand::u64(..);
    let health = Board::start(dialer, tasks, clock, seed).await.map_err(StartError::Worker)?;
    Ok(Environment {
        workers: plan.workers,
        runtime: Handle::current(),
        tasks: Arc::clone(tasks),
        builders: Builders::default(),
        health,
        clock,
        seed,
    })
}

/// A start that is over, unless something has ended readiness since.
fn become_ready(readiness: &watch::Sender<Readiness>) {
    readiness.send_if_modified(|now| {
        let starting = *now == Readiness::Starting;
        if starting {
            *now = Readiness::Ready;
        }
        starting
    });
}

/// Ends what is in flight, and gives clients the time to hear of it.
async fn cut_off(workers: &[WorkerHandle]) {
    let left: usize = workers.iter().map(WorkerHandle::connections).sum();
    tracing::warn!(connections = left, "drain timeout: what is still in flight ends now");
    for worker in workers {
        worker.cut_off().await;
    }
    let _ = tokio::time::timeout(LAST_WORDS, all_gone(workers)).await; // who does not listen is cut
}

/// Connections to backends that may be kept without requests: a quarter of the descriptors.
fn most_kept() -> usize {
    Descriptors::now().limit / 4
}

async fn all_gone(workers: &[WorkerHandle]) {
    while workers.iter().any(|worker| worker.connections() > 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
