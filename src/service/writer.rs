//! The one task that may change a service.
//!
//! It joins layers, of which later ones win: the configuration, then what operators want.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::change::{Change, ChangeError, Conditions, Override};
use super::view::{BackendView, ServiceView};
use super::{ServiceSpec, Snapshot};
use crate::clock;
use crate::model::{Endpoint, EndpointSet, Member, Window, WindowStats};

/// A change with its conditions, who wants it, and the place for the answer.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) change: Change,
    pub(super) conditions: Conditions,
    pub(super) by: String,
    pub(super) answer: oneshot::Sender<Result<u64, ChangeError>>,
}

/// Owns everything about a service that may change.
pub(super) struct Writer {
    spec: Arc<ServiceSpec>,
    revision: u64,
    backends: Vec<Backend>,
    /// Which backend an address is.
    index: HashMap<String, usize>,
    /// What operators want, by backend.
    overrides: Vec<Override>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    view: watch::Sender<Arc<ServiceView>>,
}

/// A backend as the configuration has it, and what it did of late.
struct Backend {
    endpoint: Arc<Endpoint>,
    weight: u32,
    window: Window,
    recent: WindowStats,
}

impl Writer {
    /// The writer of `spec`, with the first revision published.
    pub(super) fn new(spec: Arc<ServiceSpec>, workers: usize) -> Writer {
        let (ewma, now) = (spec.balancer.factory.ewma(), clock::now());
        let backends: Vec<_> = spec
            .endpoints
            .iter()
            .map(|endpoint| Backend {
                endpoint: Arc::new(Endpoint::new(&endpoint.address, workers, &ewma, now)),
                weight: endpoint.weight,
                window: Window::default(),
                recent: WindowStats::default(),
            })
            .collect();
        let addresses = spec.endpoints.iter().map(|e| e.address.clone());
        let index = addresses.enumerate().map(|(i, address)| (address, i)).collect();
        let overrides = vec![Override::default(); backends.len()];
        let views = views(&backends, &overrides);
        Writer {
            revision: 1,
            backends,
            index,
            overrides,
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot(&spec, 1, &views))),
            view: watch::Sender::new(Arc::new(service_view(&spec, 1, views))),
            spec,
        }
    }

    /// Where snapshots are published.
    pub(super) fn snapshot(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.snapshot)
    }

    /// Where views are published.
    pub(super) fn view(&self) -> watch::Receiver<Arc<ServiceView>> {
        self.view.subscribe()
    }

    /// Makes changes until all handles are gone, and keeps the statistics.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut tick = interval(Window::PUSH_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                _ = tick.tick() => self.observe(),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        // Who has given up must not be surprised by the change later on.
        if !command.answer.is_closed() {
            let before = self.revision;
            let result = self.apply(&command.change, command.conditions);
            self.log(&command, before, &result);
            let _ = command.answer.send(result);
        }
    }

    /// Logged here and not by those who ask: no change goes without its line.
    fn log(&self, command: &Command, before: u64, result: &Result<u64, ChangeError>) {
        let (service, by, change) = (&self.spec.name, &command.by, &command.change);
        match result {
            Ok(now) => {
                tracing::info!(service, by, %change, revision = now, before, "change made");
            }
            Err(error) => {
                tracing::warn!(service, by, %change, revision = before, %error, "change refused");
            }
        }
    }

    /// Makes one change, or none.
    fn apply(&mut self, change: &Change, conditions: Conditions) -> Result<u64, ChangeError> {
        let service = &self.spec.name;
        let mut overrides = self.overrides.clone();
        change.apply(service, &self.index, &mut overrides)?;
        if let Some(expected) = conditions.expected_revision
            && expected != self.revision
        {
            return Err(ChangeError::Stale {
                service: service.clone(),
                current: self.revision,
                expected,
            });
        }
        let views = views(&self.backends, &overrides);
        let revision = self.revision + 1;
        let snapshot = snapshot(&self.spec, revision, &views);
        if snapshot.set.is_empty() && !conditions.allow_empty {
            return Err(ChangeError::Empty { service: service.clone() });
        }
        self.revision = revision;
        self.overrides = overrides;
        self.snapshot.store(Arc::new(snapshot));
        self.publish_view(views);
        Ok(revision)
    }

    /// Moves the windows on.
    fn observe(&mut self) {
        for backend in &mut self.backends {
            backend.window.push(backend.endpoint.totals());
            backend.recent = backend.window.stats();
        }
        self.publish_view(views(&self.backends, &self.overrides));
    }

    fn publish_view(&self, backends: Vec<BackendView>) {
        let view = service_view(&self.spec, self.revision, backends);
        self.view.send_replace(Arc::new(view));
    }
}

/// Joins the layers.
fn views(backends: &[Backend], overrides: &[Override]) -> Vec<BackendView> {
    backends
        .iter()
        .zip(overrides)
        .map(|(backend, wanted)| BackendView {
            endpoint: Arc::clone(&backend.endpoint),
            weight: wanted.weight.unwrap_or(backend.weight),
            drained: wanted.drained,
            recent: backend.recent.clone(),
        })
        .collect()
}

fn snapshot(spec: &Arc<ServiceSpec>, revision: u64, backends: &[BackendView]) -> Snapshot {
    let members = backends.iter().map(|backend| Member {
        endpoint: Arc::clone(&backend.endpoint),
        weight: backend.effective_weight(),
    });
    let set = EndpointSet::new(members, spec.balancer.factory.ewma());
    Snapshot::new(revision, Arc::clone(spec), set)
}

fn service_view(spec: &Arc<ServiceSpec>, revision: u64, backends: Vec<BackendView>) -> ServiceView {
    ServiceView { spec: Arc::clone(spec), revision, backends, ewma: spec.balancer.factory.ewma() }
}
