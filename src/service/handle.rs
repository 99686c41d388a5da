//! Handle of a service, shared by all workers and the control API.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::change::{Change, ChangeError, Terms};
use super::preview::{Preview, PreviewRequest};
use super::publisher::SnapshotPublisher;
use super::retention::Retention;
use super::routing::RoutingCell;
use super::staged::{StageRequest, StagedService};
use super::transition::ChangeRequest;
use super::view::ServiceView;
use super::writer::{Command, Writer};
use super::{
    CounterSettings, Environment, MethodTable, Rejections, RetryBudget, ServiceConfig,
    ServiceCounters, Snapshot,
};
use crate::model::{Endpoint, MirrorCounts, RetryCounts, TimeoutCounts};
use crate::overrides::{Author, KeptState, Memory, Store};
use crate::stats::WorkerCounter;
use crate::tasks::{Task, infallible};

/// Capacity of the writer's queue; senders wait when it is full.
const QUEUE_CAPACITY: usize = 128;

/// Handle of one service. Its writer ends when the last handle is dropped.
#[derive(Debug)]
pub struct Service {
    name: String,
    publisher: Arc<SnapshotPublisher>,
    view: watch::Receiver<Arc<ServiceView>>,
    commands: mpsc::Sender<Command>,
    counts: Arc<ServiceCounters>,
}

/// Initial state of a service: new, or continued from a removed service of the same name.
#[derive(Debug)]
pub struct InitialState {
    pub(super) revision: u64,
    /// Counters, continued.
    pub(super) counts: Arc<ServiceCounters>,
    /// Removed endpoints of the earlier service.
    pub(super) removed: Vec<Arc<Endpoint>>,
    pub(super) retention: Arc<Retention>,
    /// What an earlier process has left of it.
    pub(super) kept: Option<KeptState>,
    /// Keeps its changes.
    pub(super) store: Arc<dyn Store>,
}

impl InitialState {
    /// The initial state of a new service.
    pub fn new(workers: usize, settings: &CounterSettings) -> InitialState {
        InitialState {
            revision: 1,
            counts: Arc::new(ServiceCounters::new(workers, settings)),
            removed: Vec::new(),
            retention: Arc::new(Retention::new(settings.keep_removed)),
            kept: None,
            store: Arc::new(Memory),
        }
    }
}

impl Service {
    /// Starts the service that `config` describes.
    pub fn start(config: ServiceConfig, environment: &Environment) -> Arc<Service> {
        let initial = InitialState::new(environment.workers, &CounterSettings::default());
        Service::start_with(initial, config, environment)
    }

    /// As [`Service::start`], from a given initial state. Blocks while the first picker is built.
    pub fn start_with(
        initial: InitialState,
        config: ServiceConfig,
        environment: &Environment,
    ) -> Arc<Service> {
        let Environment { runtime, tasks, .. } = environment;
        let name = config.spec.name.clone();
        let counts = Arc::clone(&initial.counts);
        let writer = Writer::new(config, environment, initial);
        let (publisher, view) = (writer.publisher(), writer.view());
        let (commands, inbox) = mpsc::channel(QUEUE_CAPACITY);
        // The state outlives a panic of the task: the restarted writer continues with it.
        let state = Arc::new(Mutex::new((writer, inbox)));
        let place = runtime.clone();
        let write = move || {
            let state = Arc::clone(&state);
            place.spawn(infallible(async move {
                let (writer, inbox) = &mut *state.lock().await;
                writer.run(inbox).await;
            }))
        };
        runtime.spawn(Arc::clone(tasks).supervise(Task::Service, write));
        Arc::new(Service { name, publisher, view, commands, counts })
    }

    /// The name, unique.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counters, apart from those of its endpoints.
    pub fn counts(&self) -> &Arc<ServiceCounters> {
        &self.counts
    }

    /// Retries.
    pub fn retries(&self) -> &RetryCounts {
        &self.counts.retries
    }

    /// How many more there may be.
    pub fn retry_budget(&self) -> &RetryBudget {
        &self.counts.retry_budget
    }

    /// Retries of requests that a backend answered with UNIMPLEMENTED.
    pub fn unimplemented_retries(&self) -> &WorkerCounter {
        &self.counts.unimplemented_retries
    }

    /// Requests that were mirrored to it.
    pub fn copies(&self) -> &MirrorCounts {
        &self.counts.copies
    }

    /// Requests that timed out.
    pub fn expired(&self) -> &TimeoutCounts {
        &self.counts.expired
    }

    /// Requests cut off by a drain timeout of an endpoint.
    pub fn drain_cuts(&self) -> &WorkerCounter {
        &self.counts.drain_cuts
    }

    /// Requests that the gateway answered itself.
    pub fn rejections(&self) -> &Rejections {
        &self.counts.rejections
    }

    /// gRPC calls by method.
    pub fn methods(&self) -> &Arc<MethodTable> {
        &self.counts.methods
    }

    /// The newest snapshot.
    ///
    /// A change is published here, and in the routing, before it is answered. So a request that a
    /// client sends after the answer is read by its worker after the publication, the sockets in
    /// between being barriers, and the worker's next load of the routing sees it.
    pub fn snapshot(&self) -> &ArcSwap<Snapshot> {
        self.publisher.snapshot()
    }

    /// Publishes snapshots into this routing too, from now on.
    pub(super) fn attach(&self, routing: &Arc<RoutingCell>) {
        self.publisher.attach(routing);
    }

    /// The newest view.
    pub fn view(&self) -> Arc<ServiceView> {
        Arc::clone(&self.view.borrow())
    }

    /// Subscribes to the view, which is published on every change and once a second.
    pub fn watch(&self) -> watch::Receiver<Arc<ServiceView>> {
        self.view.clone()
    }

    /// Waits until the first set of its source is in effect, for as long as the configuration allows.
    pub async fn await_first_set(&self) {
        let mut view = self.watch();
        let Some(limit) = view.borrow().spec.discover.as_ref().map(|it| it.initial_timeout) else {
            return;
        };
        let first = view.wait_for(|view| view.is_discovered);
        if tokio::time::timeout(limit, first).await.is_err() {
            let (service, after) = (&*self.name, limit);
            tracing::warn!(service, ?after, "no answer of the source yet: starting without");
        }
    }

    /// Applies a change and returns its revision, once it is in effect on every worker.
    ///
    /// # Errors
    /// The change was refused; nothing has changed.
    pub async fn change(
        &self,
        change: Change,
        terms: Terms,
        by: Author,
    ) -> Result<u64, ChangeError> {
        let closed = || ChangeError::Closed { service: self.name.clone() };
        let (answer, answered) = oneshot::channel();
        let command = Command::Change(ChangeRequest { change, terms, by, answer });
        self.commands.send(command).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// What a change would do, by the state that it would find: nothing is changed.
    ///
    /// # Errors
    /// It would be refused.
    pub(crate) async fn preview(
        &self,
        change: Change,
        terms: Terms,
        by: Author,
    ) -> Result<Preview, ChangeError> {
        let closed = || ChangeError::Closed { service: self.name.clone() };
        let (answer, answered) = oneshot::channel();
        let request = PreviewRequest { change, terms, by, answer };
        self.commands.send(Command::Preview(Box::new(request))).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Stages `config`: builds the snapshot, to be committed together with those of other services.
    pub async fn staged(self: Arc<Service>, config: ServiceConfig) -> StagedService {
        StagedService::new(self, config).await
    }

    pub(super) async fn stage(&self, request: StageRequest) {
        let _ = self.commands.send(Command::Configure(Box::new(request))).await;
    }

    /// Applies a configuration to this service alone, keeping the overrides. It is in effect on
    /// every worker when this returns.
    pub async fn configure(self: &Arc<Service>, config: ServiceConfig) {
        Arc::clone(self).staged(config).await.commit().await;
    }

    /// Refuses changes from now on, as the service is no longer configured. Returns the last revision.
    pub async fn retire(&self) -> u64 {
        let (answer, answered) = oneshot::channel();
        let last = self.view().revision;
        match self.commands.send(Command::Retire(answer)).await {
            Ok(()) => answered.await.unwrap_or(last),
            Err(_) => last,
        }
    }
}
