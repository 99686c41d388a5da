//! The one task that may change a service.
//!
//! It joins layers, of which later ones win: the configuration, then what operators want.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::change::{Change, ChangeError, Conditions, Current};
use super::history::History;
use super::overridden::Covered;
use super::overrides::{Overrides, Wanted, key};
use super::past::Past;
use super::recent::RejectWindow;
use super::view::{BackendView, ServiceView};
use super::{Beginning, Environment, Overridden, Recent, ServiceSpec, Snapshot, Stamp};
use crate::clock::Clock;
use crate::model::{Endpoint, EndpointSet, Member, Window, WindowStats};

/// What a writer is told.
#[derive(Debug)]
pub(super) enum Command {
    /// An operator wants a change.
    Change(Asked),
    /// The configuration has changed.
    Configure(Box<ServiceSpec>, oneshot::Sender<()>),
    /// The configuration has it no more: its last revision is wanted, and no other comes.
    Retire(oneshot::Sender<u64>),
}

/// A change with its conditions, who wants it, and the place for the answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) change: Change,
    pub(super) conditions: Conditions,
    pub(super) by: String,
    pub(super) answer: oneshot::Sender<Result<u64, ChangeError>>,
}

/// Owns everything about a service that may change.
pub(super) struct Writer {
    workers: usize,
    clock: Clock,
    rng: fastrand::Rng,
    /// As the configuration has it.
    configured: Arc<ServiceSpec>,
    overrides: Overrides,
    /// The same, as operators are to see it.
    overridden: Arc<[Overridden]>,
    /// As it is, with the balancer that operators want.
    spec: Arc<ServiceSpec>,
    revision: u64,
    history: History,
    backends: Vec<Backend>,
    /// Removed, with requests in flight when last looked at. They do not come back: who is added
    /// at such an address is another.
    leaving: Vec<Backend>,
    past: Past,
    rejected: RejectWindow,
    snapshot: Arc<ArcSwap<Snapshot>>,
    view: watch::Sender<Arc<ServiceView>>,
    /// The configuration has it no more.
    retired: bool,
}

/// A backend as it is to be, and what it did of late.
struct Backend {
    endpoint: Arc<Endpoint>,
    weight: u32,
    drained: bool,
    window: Window,
    recent: WindowStats,
}

impl Backend {
    fn view(&self) -> BackendView {
        BackendView {
            endpoint: Arc::clone(&self.endpoint),
            weight: self.weight,
            drained: self.drained,
            recent: self.recent.clone(),
        }
    }
}

impl Writer {
    /// The writer of `spec`, with the first revision published.
    pub(super) fn new(
        spec: ServiceSpec,
        environment: &Environment,
        beginning: Beginning,
    ) -> Writer {
        let Beginning { revision, counts, past: gone, retention } = beginning;
        let rejections = &counts.rejections;
        let spec = Arc::new(spec);
        let rejected = RejectWindow::new(rejections);
        let Environment { workers, clock, .. } = *environment;
        let mut rng = environment.rng(&spec.name);
        let mut writer = Writer {
            workers,
            clock,
            configured: Arc::clone(&spec),
            overrides: Overrides::default(),
            overridden: Arc::default(),
            revision: revision.saturating_sub(1),
            history: History::default(),
            backends: Vec::new(),
            leaving: Vec::new(),
            past: Past::new(retention),
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot(&spec, 0, &[], &mut rng))),
            rejected,
            view: watch::Sender::new(Arc::new(ServiceView::empty(&spec, rejections, clock))),
            retired: false,
            rng,
            spec,
        };
        gone.into_iter().for_each(|endpoint| writer.past.keep(endpoint, clock.now()));
        writer.publish(writer.overrides.join(&writer.configured));
        writer
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
    pub(super) async fn run(&mut self, inbox: &mut mpsc::Receiver<Command>) {
        let mut tick = interval(Window::PUSH_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                _ = tick.tick() => self.observe(),
                command = inbox.recv() => match command {
                    Some(Command::Change(asked)) => self.obey(asked),
                    Some(Command::Configure(spec, answer)) => {
                        self.configure(*spec);
                        let _ = answer.send(());
                    }
                    Some(Command::Retire(answer)) => {
                        self.retired = true;
                        let _ = answer.send(self.revision);
                    }
                    None => return,
                },
            }
        }
    }

    fn obey(&mut self, asked: Asked) {
        // Who has given up must not be surprised by the change later on.
        if !asked.answer.is_closed() {
            let before = self.revision;
            let stamp = Stamp::now(&asked.by);
            let result = self.apply(&asked.change, asked.conditions, &stamp);
            self.log(&asked, before, &result);
            let _ = asked.answer.send(result);
        }
    }

    /// Logged here and not by those who ask: no change goes without its line.
    fn log(&self, asked: &Asked, before: u64, result: &Result<u64, ChangeError>) {
        let (service, by, change) = (&self.spec.name, &asked.by, &asked.change);
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
    fn apply(
        &mut self,
        change: &Change,
        conditions: Conditions,
        stamp: &Stamp,
    ) -> Result<u64, ChangeError> {
        let service = &self.spec.name;
        if self.retired {
            return Err(ChangeError::Gone { service: service.clone() });
        }
        let mut overrides = self.overrides.clone();
        let backends: Vec<_> = self.backends.iter().map(|b| b.endpoint.address()).collect();
        let current = Current { spec: &self.configured, backends: &backends, stamp };
        change.apply(current, &mut overrides)?;
        if let Some(expected) = conditions.expected_revision
            && expected != self.revision
        {
            return Err(ChangeError::Stale {
                service: service.clone(),
                current: self.revision,
                expected,
            });
        }
        let wanted = overrides.join(&self.configured);
        let serves = |mut backends: std::slice::Iter<'_, Wanted>| {
            backends.any(|backend| !backend.drained && backend.weight > 0)
        };
        let before = self.overrides.join(&self.configured);
        // Who has none to lose may change all else.
        if !conditions.allow_empty && serves(before.iter()) && !serves(wanted.iter()) {
            return Err(ChangeError::Empty { service: service.clone() });
        }
        self.overrides = overrides;
        self.publish(wanted);
        Ok(self.revision)
    }

    /// Takes over what the configuration says now; what operators want stays on top.
    fn configure(&mut self, mut spec: ServiceSpec) {
        spec.upstream.keep_sessions_of(&self.configured.upstream);
        if spec != *self.configured {
            let before = Arc::clone(&self.overridden);
            self.overrides.prune(&spec);
            self.configured = Arc::new(spec);
            self.publish(self.overrides.join(&self.configured));
            tracing::info!(service = self.spec.name, revision = self.revision, "reconfigured");
            Covered::between(&before, &self.overridden).log(&self.spec.name);
        }
    }

    /// Makes the service what is wanted: the next revision.
    fn publish(&mut self, wanted: Vec<Wanted>) {
        self.spec = match self.overrides.balancer().cloned() {
            None => Arc::clone(&self.configured),
            Some(balancer) => Arc::new(ServiceSpec { balancer, ..(*self.configured).clone() }),
        };
        self.overridden = self.overrides.list(&self.configured).into();
        self.revision += 1;
        let before = std::mem::take(&mut self.backends);
        let make = |address: &str| Arc::new(Endpoint::new(address, self.workers, self.clock.now()));
        let (backends, mut gone) = succeed(before, wanted, make);
        self.backends = backends;
        self.leaving.append(&mut gone);
        self.history.begin(self.revision, self.backends.iter().map(|backend| &*backend.endpoint));
        let snapshot = snapshot(&self.spec, self.revision, &self.backends, &mut self.rng);
        self.snapshot.store(Arc::new(snapshot));
        self.publish_view();
    }

    /// Moves the windows on, and lets those go that have left.
    fn observe(&mut self) {
        let now = self.clock.now();
        for backend in self.leaving.extract_if(.., |backend| backend.endpoint.load().is_idle()) {
            self.past.keep(backend.endpoint, now);
        }
        self.past.forget(now);
        for backend in self.backends.iter_mut().chain(&mut self.leaving) {
            backend.window.push(backend.endpoint.totals());
            backend.recent = backend.window.stats();
            backend.endpoint.load().streams().set_message_rate(backend.window.message_rate());
        }
        self.rejected.push();
        self.publish_view();
    }

    fn publish_view(&self) {
        let of_late = self.backends.iter().chain(&self.leaving).map(|backend| &backend.recent);
        self.view.send_replace(Arc::new(ServiceView {
            spec: Arc::clone(&self.spec),
            revision: self.revision,
            backends: self.backends.iter().map(Backend::view).collect(),
            overrides: Arc::clone(&self.overridden),
            leaving: self.leaving.iter().map(Backend::view).collect(),
            past: self.past.endpoints().cloned().collect(),
            rejections: Arc::clone(self.rejected.rejections()),
            recent: Recent::new(of_late, &self.rejected.counts()),
            ewma: self.spec.balancer.factory.ewma(),
            clock: self.clock,
            history: self.history.clone(),
        }));
    }
}

/// The wanted backends, those of `before` being the same as ever, and the rest of those.
fn succeed(
    before: Vec<Backend>,
    wanted: Vec<Wanted>,
    make: impl Fn(&str) -> Arc<Endpoint>,
) -> (Vec<Backend>, Vec<Backend>) {
    let before = before.into_iter().map(|backend| (key(backend.endpoint.address()), backend));
    let mut before: HashMap<String, Backend> = before.collect();
    let backend = |wanted: Wanted| {
        let Wanted { address, weight, drained } = wanted;
        match before.remove(&key(&address)) {
            Some(known) => Backend { weight, drained, ..known },
            None => {
                let (window, recent) = (Window::default(), WindowStats::default());
                Backend { endpoint: make(&address), weight, drained, window, recent }
            }
        }
    };
    let backends = wanted.into_iter().map(backend).collect();
    (backends, before.into_values().collect())
}

fn snapshot(
    spec: &Arc<ServiceSpec>,
    revision: u64,
    backends: &[Backend],
    rng: &mut fastrand::Rng,
) -> Snapshot {
    let members = backends.iter().map(|backend| Member {
        endpoint: Arc::clone(&backend.endpoint),
        weight: if backend.drained { 0 } else { backend.weight },
    });
    let set = EndpointSet::new(members, spec.balancer.factory.ewma());
    let endpoints = backends.iter().map(|backend| Arc::clone(&backend.endpoint)).collect();
    // Also of weight 0: whoever is about to raise that wants to know whether it can be reached.
    let kept = backends.iter().filter(|backend| !backend.drained).take(spec.preconnect);
    let kept = kept.map(|backend| Arc::clone(&backend.endpoint)).collect();
    Snapshot::new(revision, Arc::clone(spec), endpoints, kept, set, rng)
}
