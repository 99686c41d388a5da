//! Single writer of a service: one task that applies all changes and publishes the result.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::builders::Builders;
use super::desired::Desired;
use super::flips::Flips;
use super::history::{Counts, History};
use super::next::{Asked, Decided, Next, Now};
use super::observed::Observed;
use super::outlet::Outlet;
use super::overridden::Covered;
use super::staged::Staging;
use super::view::ServiceView;
use super::{Beginning, EjectionCounts, Environment, Overridden, ServiceConfig, Snapshot};
use crate::clock::Clock;
use crate::health::Listener;
use crate::model::Time;
use crate::stats::Window;

/// Debounce of health changes, so that one snapshot is built for several.
const GATHERING: Duration = Duration::from_millis(20);

/// Message to the writer.
#[derive(Debug)]
pub(super) enum Command {
    /// A change by an operator.
    Change(Asked),
    /// A new configuration.
    Configure(Box<Staging>),
    /// The service is no longer configured: refuse further changes and return the last revision.
    Retire(oneshot::Sender<u64>),
}

/// Owns all mutable state of a service.
pub(super) struct Writer {
    /// The desired state that is published.
    desired: Desired,
    /// Overrides by operators that are in effect.
    overridden: Arc<[Overridden]>,
    history: History,
    observed: Observed,
    /// Notified when the health of a backend changes.
    listener: Arc<Listener>,
    ejections: Arc<EjectionCounts>,
    builders: Builders,
    clock: Clock,
    rng: fastrand::Rng,
    outlet: Arc<Outlet>,
    view: watch::Sender<Arc<ServiceView>>,
    /// The service is no longer configured.
    retired: bool,
}

impl Writer {
    /// Creates the writer and publishes the first revision.
    pub(super) fn new(
        config: ServiceConfig,
        environment: &Environment,
        beginning: Beginning,
    ) -> Writer {
        let Beginning { revision, counts, past, retention } = beginning;
        let (rejections, clock) = (&counts.rejections, environment.clock);
        let listener = Listener::new(&counts.checks);
        let desired = Desired::new(config, environment, Arc::clone(&listener), revision);
        let mut rng = environment.rng(&desired.spec.name);
        let snapshot = Snapshot::of(&desired, 1, None, &mut rng);
        let mut history = History::default();
        history.begin(revision..=revision, &Counts::of(&desired.endpoints()));
        let view = ServiceView::empty(&desired.spec, rejections, clock);
        let mut observed = Observed::new(rejections, retention);
        observed.keep(past, clock.now());
        let writer = Writer {
            overridden: Arc::default(),
            history,
            observed,
            listener,
            ejections: Arc::clone(&counts.ejections),
            builders: environment.builders.clone(),
            clock,
            rng,
            outlet: Outlet::new(snapshot),
            view: watch::Sender::new(Arc::new(view)),
            retired: false,
            desired,
        };
        writer.publish_view();
        writer
    }

    /// Where snapshots are published.
    pub(super) fn outlet(&self) -> Arc<Outlet> {
        Arc::clone(&self.outlet)
    }

    /// Where views are published.
    pub(super) fn view(&self) -> watch::Receiver<Arc<ServiceView>> {
        self.view.subscribe()
    }

    /// Event loop: commands, health, ejections and statistics, until all handles are dropped.
    pub(super) async fn run(&mut self, inbox: &mut mpsc::Receiver<Command>) {
        let mut tick = interval(Window::PUSH_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let listener = Arc::clone(&self.listener);
        let suspicion = Arc::clone(&self.desired.suspicion);
        // After a panic this runs again, and a notification may have been lost.
        let mut examine_at = Some(self.clock.now());
        loop {
            let due = examine_at.into_iter().chain(self.desired.due()).min();
            tokio::select! {
                biased;
                _ = tick.tick() => {
                    self.log_cuts();
                    self.observed.push(&self.desired.backends, self.clock.now());
                    self.publish_view();
                }
                () = self.clock.sleep_until(due.unwrap_or(Time::ZERO)), if due.is_some() => {
                    examine_at = None;
                    self.examine().await;
                }
                () = suspicion.notified() => self.examine().await,
                () = listener.changed(), if examine_at.is_none() => {
                    examine_at = Some(self.clock.now() + GATHERING);
                }
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command, inbox).await,
                    None => return self.log_cuts(),
                },
            }
        }
    }

    async fn obey(&mut self, command: Command, inbox: &mut mpsc::Receiver<Command>) {
        let mut next = Some(command);
        while let Some(command) = next.take() {
            match command {
                Command::Change(asked) => next = self.change(asked, inbox).await,
                Command::Configure(staging) => self.configure(*staging).await,
                Command::Retire(answer) => {
                    self.retired = true;
                    self.desired = self.desired.clone().unchecked();
                    let _ = answer.send(self.desired.revision);
                }
            }
        }
    }

    /// Applies a change with all queued behind it as one batch, so that one picker is built for
    /// them all. Returns the command that ended the batch, if any.
    async fn change(
        &mut self,
        first: Asked,
        inbox: &mut mpsc::Receiver<Command>,
    ) -> Option<Command> {
        let (mut asked, mut after) = (vec![first], None);
        while after.is_none() && asked.len() < inbox.max_capacity() {
            match inbox.try_recv() {
                Ok(Command::Change(another)) => asked.push(another),
                Ok(command) => after = Some(command),
                Err(_) => break, // the queue is empty or closed
            }
        }
        let now = self.now();
        let (decided, next) = self.builders.run(move || now.decide(asked)).await;
        if let Some(next) = next {
            self.go_over(next);
        }
        for Decided { answer, result, record } in decided {
            record.log(); // here, since the caller may be gone: every change is logged
            let _ = answer.send(result);
        }
        after
    }

    /// Applies a configuration in two phases: builds the snapshot, then awaits the commit, which
    /// comes for all services at once. Overrides stay on top. Changes wait meanwhile, lest they be
    /// lost or take effect before the commit.
    async fn configure(&mut self, Staging { config, staged, commit }: Staging) {
        let now = self.now();
        let build = move || now.desired.reconfigured(config).map(|desired| now.next(desired));
        let Some(next) = self.builders.run(build).await else {
            let _ = staged.send(None);
            return;
        };
        if staged.send(Some(Arc::clone(&next.snapshot))).is_err() {
            return;
        }
        let Ok(gone_over) = commit.await else { return };
        let before = Arc::clone(&self.overridden);
        self.go_over(next);
        let Desired { spec, revision, .. } = &self.desired;
        let generation = self.outlet.snapshot().load().generation;
        tracing::info!(service = spec.name, revision, generation, "reconfigured");
        Covered::between(&before, &self.overridden).log(&spec.name);
        let _ = gone_over.send(());
    }

    /// Re-evaluates health and ejections, and publishes a snapshot if they have changed.
    async fn examine(&mut self) {
        let Some(examined) = self.desired.examined() else { return };
        let flips = Flips::between(&self.desired, &examined);
        let now = self.now();
        let next = self.builders.run(move || now.next(examined)).await;
        self.go_over(next);
        flips.causes().for_each(|cause| self.ejections.count(cause));
        flips.log(&self.desired.spec.name);
    }

    /// Copies the current state, for building the next snapshot on another thread.
    fn now(&mut self) -> Now {
        Now {
            desired: self.desired.clone(),
            snapshot: self.outlet.snapshot().load_full(),
            rng: self.rng.fork(),
            retired: self.retired,
        }
    }

    /// Makes this the current state and publishes it.
    fn go_over(&mut self, next: Next) {
        let Next { desired, snapshot, overridden, counts, gone } = next;
        let revisions = self.desired.revision + 1..=desired.revision;
        self.desired = desired;
        self.overridden = overridden;
        self.observed.part_with(gone);
        self.history.begin(revisions, &counts);
        self.outlet.publish(&snapshot);
        self.publish_view();
    }

    fn log_cuts(&mut self) {
        self.observed.log_cuts(&self.desired.spec.name, &self.desired.backends);
    }

    fn publish_view(&self) {
        let Desired { spec, revision, backends, .. } = &self.desired;
        let view = |backend| self.observed.view(backend, false);
        self.view.send_replace(Arc::new(ServiceView {
            spec: Arc::clone(spec),
            revision: *revision,
            generation: self.outlet.snapshot().load().generation,
            backends: backends.iter().map(view).collect(),
            overrides: Arc::clone(&self.overridden),
            leaving: self.observed.leaving(),
            past: self.observed.past(),
            rejections: Arc::clone(self.observed.rejections()),
            recent: self.observed.recent(),
            ewma: spec.balancer.factory.ewma(),
            clock: self.clock,
            history: self.history.clone(),
        }));
    }
}
