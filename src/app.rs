//! The composition root: the only module that sees every layer.

mod cold;
mod cold_sockets;
mod control_clients;
mod descriptor_budget;
mod export;
mod listeners;
mod overrides;
mod reload;
mod start_error;
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
use crate::discovery::Discovery;
use crate::health::HealthMonitor;
use crate::model::SocketAddress;
use crate::net::{Descriptors, SocketFile, WorkerHandle};
use crate::service::{BuildPool, Environment, Registry};
use crate::tasks::Tasks;
use crate::telemetry::{Certificates, Exporter, Readiness, Reloads, WorkerMetrics};
use crate::upstream::{Dialer, OwnAddresses, Resolver};
use cold::ColdServers;
use cold_sockets::{Entrances, Opened, Sockets};
use descriptor_budget::DescriptorBudget;
use listeners::Listeners;
use overrides::Overrides;
use reload::RestartSettings;
pub use reload::{Reloaded, publish};
pub use start_error::StartError;
pub use worker::DataPath;
use worker::Workers;

/// Time to send clients the reason when requests are cut off at shutdown.
const CUT_OFF_GRACE: Duration = Duration::from_secs(1);

/// A running gateway.
pub struct Gateway {
    listeners: Listeners,
    /// One at least.
    control: Vec<SocketAddress>,
    entrances: Entrances,
    metrics: SocketAddress,
    /// Unix socket files of control API and metrics, removed at the end.
    _files: Vec<SocketFile>,
    fixed: RestartSettings,
    drain_delay: Duration,
    drain_timeout: Duration,
    registry: Arc<Registry>,
    environment: Environment,
    /// Where no connection is made changes with the listeners.
    dialer: Arc<Dialer>,
    reloads: Arc<Reloads>,
    certificates: Arc<Certificates>,
    /// Why the last reload failed, if it did.
    last_errors: Vec<String>,
    room: DescriptorBudget,
    workers: Vec<WorkerHandle>,
    threads: Vec<JoinHandle<()>>,
    /// Closed when no worker is left.
    lost: mpsc::Receiver<Infallible>,
    readiness: watch::Sender<Readiness>,
    /// Stops the control API and the metrics.
    stop_cold: watch::Sender<bool>,
    cold: JoinSet<()>,
    /// Keeps what operators change, until nobody can change anything.
    overrides: Overrides,
}

impl Gateway {
    /// Binds all addresses and starts everything. Call it on the cold runtime.
    ///
    /// # Errors
    /// When an address cannot be bound, or the journal of overrides or the audit cannot be used; then
    /// nothing has been started.
    pub async fn start(plan: Plan) -> Result<Gateway, StartError> {
        let (tasks, refused, clock) = (Arc::<Tasks>::default(), Arc::default(), Clock::start());
        let overrides = Overrides::open(&plan, &tasks, clock).await?;
        let mut listeners = Listeners::new(&tasks, &refused, plan.own_addresses().collect(), clock);
        let (prepared, sockets) = (listeners.prepare(&plan.listeners)?, Sockets::bind(&plan)?);
        let entrances = sockets.entrances(&plan, overrides.audit.clone(), clock);
        let registry = overrides.registry(&plan, clock);
        let (reloads, fixed) = (Arc::new(Reloads::new()), RestartSettings::of(&plan));
        let counters: Vec<Arc<WorkerMetrics>> = (0..plan.workers).map(|_| Arc::default()).collect();
        let (drain_delay, drain_timeout) = (plan.drain_delay, plan.drain_timeout);
        let (certificates, settings) = (certificates(&plan), plan.metrics.settings.clone());
        let state = export::State {
            registry: Arc::clone(&registry),
            tasks: Arc::clone(&tasks),
            reloads: Arc::clone(&reloads),
            certificates: Arc::clone(&certificates),
            refused: Arc::clone(&refused),
            control: Arc::clone(entrances.door.refusals()),
            journal: overrides.counters.clone(),
            audit: overrides.audit_counters(),
        };
        let exporter = Exporter::new(state, counters.clone(), settings, clock);
        let dialer = dialer(&plan, &tasks, &sockets, prepared.addresses(&listeners)).await?;
        let environment = environment(&plan, &dialer, &tasks, clock).await?;
        let (readiness, ready) = watch::channel(Readiness::Starting);
        let Workers { workers, threads, lost } =
            worker::start(&plan, &registry, &counters, &dialer, (&environment, &readiness)).await?;
        let room = DescriptorBudget::measure(&plan)?;
        reload::publish_first(&registry, &environment, plan).await;
        let (stop_cold, running) = watch::channel(false);
        let cold = ColdServers {
            control: sockets.control.iter().map(Opened::socket).collect(),
            entrances: entrances.clone(),
            metrics: sockets.metrics.socket(),
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
        Ok(Gateway {
            listeners,
            control: sockets.control.iter().map(Opened::address).collect(),
            entrances,
            metrics: sockets.metrics.address(),
            _files: sockets.files,
            fixed,
            drain_delay,
            drain_timeout,
            registry,
            environment,
            dialer,
            reloads,
            certificates,
            last_errors: Vec::new(),
            room,
            workers,
            threads,
            lost,
            readiness,
            stop_cold,
            cold,
            overrides,
        })
    }

    /// The addresses for clients, in the order of the configuration.
    pub fn listeners(&self) -> Vec<SocketAddress> {
        self.listeners.addresses()
    }

    /// The addresses of the control API: over TCP, if it is, then its Unix socket, if there is one.
    pub fn control(&self) -> &[SocketAddress] {
        &self.control
    }

    /// The address of the metrics port.
    pub fn metrics(&self) -> &SocketAddress {
        &self.metrics
    }

    /// The registry of services.
    pub fn services(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Resolves when all workers have died unexpectedly, so that nothing is served any more.
    pub async fn lost(&mut self) {
        while self.lost.recv().await.is_some() {}
    }

    /// Turns readiness off (`/readyz`, `grpc.health.v1`) and keeps serving for the drain delay, so
    /// that load balancers can react.
    pub async fn announce_shutdown(&self) {
        self.readiness.send_replace(Readiness::Draining);
        if !self.drain_delay.is_zero() {
            tracing::info!(drain_delay = ?self.drain_delay, "not ready any more");
            tokio::time::sleep(self.drain_delay).await;
        }
    }

    /// Graceful shutdown: stops accepting, tells clients to go away, and lets requests in flight
    /// finish within the drain timeout.
    pub async fn shutdown(mut self) {
        self.readiness.send_replace(Readiness::Draining);
        self.listeners.close().await;
        for worker in &self.workers {
            worker.drain().await;
        }
        let workers = std::mem::take(&mut self.workers);
        if tokio::time::timeout(self.drain_timeout, all_closed(&workers)).await.is_err() {
            cut_off(&workers).await;
        }
        drop(workers); // closes the workers' command channels, which stops them
        for thread in self.threads.drain(..) {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("a worker panicked");
            }
        }
        self.stop_cold.send_replace(true);
        while self.cold.join_next().await.is_some() {}
        if let Some(audit) = &self.overrides.audit {
            audit.flush().await;
        }
    }
}

fn certificates(plan: &Plan) -> Arc<Certificates> {
    let certificates = Arc::<Certificates>::default();
    certificates.replace(plan.certificates.clone());
    certificates
}

/// The dialer, which refuses to connect to the gateway's own addresses: operators' and clients'.
async fn dialer(
    plan: &Plan,
    tasks: &Arc<Tasks>,
    operators: &Sockets,
    clients: Vec<SocketAddress>,
) -> Result<Arc<Dialer>, StartError> {
    let resolver = Resolver::start(plan.dns_servers.clone(), tasks).await;
    let resolver = resolver.map_err(StartError::Worker)?;
    let operators = OwnAddresses::new(operators.addresses());
    let dialer = Dialer::new(resolver, operators, max_idle_connections());
    dialer.set_listeners(OwnAddresses::new(clients));
    Ok(Arc::new(dialer))
}

/// The environment that the services of `plan` run in. Call it on the cold runtime.
async fn environment(
    plan: &Plan,
    dialer: &Arc<Dialer>,
    tasks: &Arc<Tasks>,
    clock: Clock,
) -> Result<Environment, StartError> {
    let seed = fastrand::u64(..);
    let health =
        HealthMonitor::start(dialer, tasks, clock, seed).await.map_err(StartError::Worker)?;
    let discovery = Discovery::start(plan.dns_servers.clone(), tasks, clock, seed)
        .map_err(StartError::Worker)?;
    Ok(Environment {
        workers: plan.workers,
        runtime: Handle::current(),
        tasks: Arc::clone(tasks),
        build_pool: BuildPool::default(),
        health,
        discovery,
        clock,
        seed,
    })
}

/// Startup is complete: turns readiness on, unless it was lost since.
fn become_ready(readiness: &watch::Sender<Readiness>) {
    readiness.send_if_modified(|now| {
        let starting = *now == Readiness::Starting;
        if starting {
            *now = Readiness::Ready;
        }
        starting
    });
}

/// Cuts off what is in flight, and leaves clients a moment to receive the reason.
async fn cut_off(workers: &[WorkerHandle]) {
    let left: usize = workers.iter().map(WorkerHandle::connections).sum();
    tracing::warn!(connections = left, "drain timeout: what is still in flight ends now");
    for worker in workers {
        worker.cut_off().await;
    }
    let _ = tokio::time::timeout(CUT_OFF_GRACE, all_closed(workers)).await; // on timeout the rest is cut
}

/// Limit of idle connections to backends that are kept: a quarter of the descriptors.
fn max_idle_connections() -> usize {
    Descriptors::now().limit / 4
}

async fn all_closed(workers: &[WorkerHandle]) {
    while workers.iter().any(|worker| worker.connections() > 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
