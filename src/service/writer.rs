//! The one task that may change a service.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::builders::Builders;
use super::change::{Change, ChangeError, Conditions};
use super::desired::Desired;
use super::history::History;
use super::observed::Observed;
use super::outlet::Outlet;
use super::overridden::Covered;
use super::record::{ChangeRecord, Subject};
use super::staged::Staging;
use super::stamp::{Author, Stamp};
use super::view::ServiceView;
use super::{Beginning, Environment, Overridden, ServiceConfig, Snapshot};
use crate::clock::Clock;
use crate::model::Window;

/// What a writer is told.
#[derive(Debug)]
pub(super) enum Command {
    /// An operator wants a change.
    Change(Asked),
    /// The configuration has changed.
    Configure(Box<Staging>),
    /// The configuration has it no more: its last revision is wanted, and no other comes.
    Retire(oneshot::Sender<u64>),
}

/// A change with its conditions, who wants it, and the place for the answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) change: Change,
    pub(super) conditions: Conditions,
    pub(super) by: Author,
    pub(super) answer: oneshot::Sender<Result<u64, ChangeError>>,
}

/// A change that was decided on, and is answered once it is in effect.
struct Decided {
    answer: oneshot::Sender<Result<u64, ChangeError>>,
    result: Result<u64, ChangeError>,
    record: ChangeRecord,
}

/// Owns everything about a service that may change.
pub(super) struct Writer {
    /// What is published.
    desired: Desired,
    /// Counts what was published.
    generation: u64,
    /// What operators want otherwise than the configuration has it.
    overridden: Arc<[Overridden]>,
    history: History,
    observed: Observed,
    builders: Builders,
    clock: Clock,
    rng: fastrand::Rng,
    outlet: Arc<Outlet>,
    view: watch::Sender<Arc<ServiceView>>,
    /// The configuration has it no more.
    retired: bool,
}

impl Writer {
    /// The writer of a service, with the first revision published.
    pub(super) fn new(
        config: ServiceConfig,
        environment: &Environment,
        beginning: Beginning,
    ) -> Writer {
        let Beginning { revision, counts, past, retention } = beginning;
        let (rejections, clock) = (&counts.rejections, environment.clock);
        let desired = Desired::new(config, environment, revision);
        let mut rng = environment.rng(&desired.spec.name);
        let snapshot = Snapshot::of(&desired, 1, None, &mut rng);
        let mut history = History::default();
        history.begin(revision..=revision, &desired.endpoints());
        let view = ServiceView::empty(&desired.spec, rejections, clock);
        let mut observed = Observed::new(rejections, retention);
        observed.keep(past, clock.now());
        let writer = Writer {
            generation: snapshot.generation,
            overridden: Arc::default(),
            history,
            observed,
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

    /// Makes changes until all handles are gone, and keeps the statistics.
    pub(super) async fn run(&mut self, inbox: &mut mpsc::Receiver<Command>) {
        let mut tick = interval(Window::PUSH_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                _ = tick.tick() => {
                    self.observed.push(&self.desired.backends, self.clock.now());
                    self.publish_view();
                }
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command, inbox).await,
                    None => return,
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
                    let _ = answer.send(self.desired.revision);
                }
            }
        }
    }

    /// Makes the change together with those that wait behind it: one picker is built for them all.
    /// Gives what comes after them.
    async fn change(
        &mut self,
        first: Asked,
        inbox: &mut mpsc::Receiver<Command>,
    ) -> Option<Command> {
        let mut desired = self.desired.clone();
        let (mut all, mut next, mut after) = (Vec::new(), Some(first), None);
        while let Some(asked) = next.take() {
            // Who has given up must not be surprised by the change later on.
            if !asked.answer.is_closed() {
                all.push(self.decide(asked, &mut desired));
            }
            match inbox.try_recv() {
                Ok(Command::Change(asked)) => next = Some(asked),
                Ok(command) => after = Some(command),
                Err(_) => {} // none waits, or none will come
            }
        }
        if desired.revision != self.desired.revision {
            let snapshot = self.build(&desired).await;
            self.outlet.publish(&snapshot);
            self.go_over(desired, &snapshot);
        }
        for Decided { answer, result, record } in all {
            record.log(); // here and not by those who ask: no change goes without its line
            let _ = answer.send(result);
        }
        after
    }

    /// Makes one change in `desired`, or none.
    fn decide(&self, asked: Asked, desired: &mut Desired) -> Decided {
        let Asked { change, conditions, by, answer } = asked;
        let (service, stamp) = (&self.desired.spec.name, Stamp::now(&by));
        let subject = Subject::service(service);
        let changed = match self.retired {
            true => Err(ChangeError::Gone { service: service.clone() }),
            false => desired.changed(&change, conditions, &stamp),
        };
        let (result, record) = match changed {
            Ok(changed) => {
                let difference = desired.difference(&changed);
                *desired = changed;
                let revision = desired.revision;
                (Ok(revision), ChangeRecord::made(stamp, subject, &change, difference, revision))
            }
            Err(error) => {
                let (text, at) = (error.to_string(), Some(desired.revision));
                (Err(error), ChangeRecord::refused(stamp, subject, &change, &text, at))
            }
        };
        Decided { answer, result, record }
    }

    /// Takes over what the configuration says now, when all services do; what operators want stays
    /// on top. Changes wait until then: they would be lost, or come too soon.
    async fn configure(&mut self, Staging { config, staged, commit }: Staging) {
        let Some(desired) = self.desired.reconfigured(config) else {
            let _ = staged.send(None);
            return;
        };
        let snapshot = self.build(&desired).await;
        if staged.send(Some(Arc::clone(&snapshot))).is_err() {
            return;
        }
        let Ok(gone_over) = commit.await else { return };
        let before = Arc::clone(&self.overridden);
        self.outlet.publish(&snapshot);
        let connects_otherwise = desired.spec.upstream != self.desired.spec.upstream;
        self.go_over(desired, &snapshot);
        if connects_otherwise {
            self.desired.backends.iter().for_each(|backend| backend.endpoint.outage().forget());
        }
        let (service, generation) = (&self.desired.spec.name, self.generation);
        tracing::info!(service, revision = self.desired.revision, generation, "reconfigured");
        Covered::between(&before, &self.overridden).log(service);
        let _ = gone_over.send(());
    }

    /// What is wanted, as the next generation.
    async fn build(&mut self, desired: &Desired) -> Arc<Snapshot> {
        let (desired, generation) = (desired.clone(), self.generation + 1);
        let (before, mut rng) = (self.outlet.snapshot().load_full(), self.rng.fork());
        let build = move || Snapshot::of(&desired, generation, Some(&before), &mut rng);
        Arc::new(self.builders.run(build).await)
    }

    /// Notes that this is published.
    fn go_over(&mut self, desired: Desired, snapshot: &Snapshot) {
        let earlier = std::mem::replace(&mut self.desired, desired);
        self.generation = snapshot.generation;
        self.observed.succeed(&earlier, &self.desired);
        self.overridden = self.desired.overridden().into();
        let revisions = earlier.revision + 1..=self.desired.revision;
        self.history.begin(revisions, &self.desired.endpoints());
        self.publish_view();
    }

    fn publish_view(&self) {
        let Desired { spec, revision, backends, .. } = &self.desired;
        let view = |backend| self.observed.view(backend, false);
        self.view.send_replace(Arc::new(ServiceView {
            spec: Arc::clone(spec),
            revision: *revision,
            generation: self.generation,
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
