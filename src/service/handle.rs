//! The handle of a service, which every worker and the control API share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::change::{Change, ChangeError, Conditions};
use super::next::Asked;
use super::outlet::Outlet;
use super::past::Retention;
use super::routing::Published;
use super::staged::{Staged, Staging};
use super::view::ServiceView;
use super::writer::{Command, Writer};
use super::{
    Author, CountSettings, Environment, MethodTable, Rejections, ServiceConfig, ServiceCounts,
    Snapshot,
};
use crate::model::{Endpoint, MirrorCounts, TimeoutCounts};
use crate::stats::WorkerCounter;
use crate::tasks::{Task, infallible};

/// Changes that may wait for the writer; further ones wait for a place.
const WAITING_CHANGES: usize = 128;

/// One service at run time. Its writer ends when the last handle is dropped.
#[derive(Debug)]
pub struct Service {
    name: String,
    outlet: Arc<Outlet>,
    view: watch::Receiver<Arc<ServiceView>>,
    commands: mpsc::Sender<Command>,
    counts: Arc<ServiceCounts>,
}

/// What a service begins with.
#[derive(Debug)]
pub struct Beginning {
    pub(super) revision: u64,
    /// What it goes on with.
    pub(super) counts: Arc<ServiceCounts>,
    /// Backends of an earlier one of its name.
    pub(super) past: Vec<Arc<Endpoint>>,
    pub(super) retention: Arc<Retention>,
}

impl Beginning {
    /// That of one that never was, for this many workers.
    pub fn new(workers: usize, settings: &CountSettings) -> Beginning {
        Beginning {
            revision: 1,
            counts: Arc::new(ServiceCounts::new(workers, settings)),
            past: Vec::new(),
            retention: Arc::new(Retention::new(settings.keep_removed)),
        }
    }
}

impl Service {
    /// Starts the service that `config` describes.
    pub fn start(config: ServiceConfig, environment: &Environment) -> Arc<Service> {
        let beginning = Beginning::new(environment.workers, &CountSettings::default());
        Service::start_with(beginning, config, environment)
    }

    /// As [`Service::start`], but what it begins with is given. Its first picker is built here, at
    /// once.
    pub fn start_with(
        beginning: Beginning,
        config: ServiceConfig,
        environment: &Environment,
    ) -> Arc<Service> {
        let Environment { runtime, tasks, .. } = environment;
        let name = config.spec.name.clone();
        let counts = Arc::clone(&beginning.counts);
        let writer = Writer::new(config, environment, beginning);
        let (outlet, view) = (writer.outlet(), writer.view());
        let (commands, inbox) = mpsc::channel(WAITING_CHANGES);
        // What it writes outlives it: a change that it panics at is not the last one.
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
        Arc::new(Service { name, outlet, view, commands, counts })
    }

    /// The name, unique.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is counted beside its backends.
    pub fn counts(&self) -> &Arc<ServiceCounts> {
        &self.counts
    }

    /// Requests that were sent again.
    pub fn retries(&self) -> &WorkerCounter {
        &self.counts.retries
    }

    /// Copies of requests that it got as a mirror.
    pub fn copies(&self) -> &MirrorCounts {
        &self.counts.copies
    }

    /// Requests for it whose time was up.
    pub fn expired(&self) -> &TimeoutCounts {
        &self.counts.expired
    }

    /// Requests for it that got no answer of a backend.
    pub fn rejections(&self) -> &Rejections {
        &self.counts.rejections
    }

    /// Its calls by their methods.
    pub fn methods(&self) -> &Arc<MethodTable> {
        &self.counts.methods
    }

    /// The newest snapshot.
    ///
    /// A change is published here, and in the routing, before it is answered. So a request that a
    /// client sends after the answer is read by its worker after the publication, the sockets in
    /// between being barriers, and the worker's next load of the routing sees it.
    pub fn snapshot(&self) -> &ArcSwap<Snapshot> {
        self.outlet.snapshot()
    }

    /// From now on it may be part of this routing.
    pub(super) fn join(&self, routing: &Arc<Published>) {
        self.outlet.join(routing);
    }

    /// The service as operators and metrics see it.
    pub fn view(&self) -> Arc<ServiceView> {
        Arc::clone(&self.view.borrow())
    }

    /// Follows the view: notified of every change and once a second.
    pub fn watch(&self) -> watch::Receiver<Arc<ServiceView>> {
        self.view.clone()
    }

    /// Makes a change and returns its revision, once it is in effect on every worker. The log
    /// names `by` as who wanted it.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub async fn change(
        &self,
        change: Change,
        conditions: Conditions,
        by: Author,
    ) -> Result<u64, ChangeError> {
        let closed = || ChangeError::Closed { service: self.name.clone() };
        let (answer, answered) = oneshot::channel();
        let command = Command::Change(Asked { change, conditions, by, answer });
        self.commands.send(command).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Builds what `config`, which has the service's name, makes of it, to be published together
    /// with other services.
    pub async fn staged(self: Arc<Service>, config: ServiceConfig) -> Staged {
        Staged::new(self, config).await
    }

    pub(super) async fn stage(&self, staging: Staging) {
        let _ = self.commands.send(Command::Configure(Box::new(staging))).await;
    }

    /// Takes over what the configuration says now of this service alone, under what operators want.
    /// It is in effect on every worker when this returns.
    pub async fn configure(self: &Arc<Service>, config: ServiceConfig) {
        Arc::clone(self).staged(config).await.commit().await;
    }

    /// Makes no more changes, since the configuration has it no more, and says the last revision.
    pub async fn retire(&self) -> u64 {
        let (answer, answered) = oneshot::channel();
        let last = self.view().revision;
        match self.commands.send(Command::Retire(answer)).await {
            Ok(()) => answered.await.unwrap_or(last),
            Err(_) => last,
        }
    }
}
