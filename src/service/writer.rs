//! Single writer of a service: one task that applies all changes and publishes the result.

mod commit;
mod configure;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::build_pool::BuildPool;
use super::condition_changes::{ConditionChanges, log_panic};
use super::desired::{Desired, Reevaluated, another_set};
use super::ejection::{Outliers, Results};
use super::history::{History, OutcomeCounts};
use super::preview::PreviewRequest;
use super::publisher::SnapshotPublisher;
use super::service_stats::ServiceStats;
use super::staged::StageRequest;
use super::transition::{ChangeRequest, Transition, TransitionBuilder};
use super::view::ServiceView;
use super::zone_spill::ZoneSpill;
use super::{EjectionCounts, Environment, InitialState, OverrideView, ServiceConfig, Snapshot};
use crate::clock::Clock;
use crate::discovery::DiscoveredSet;
use crate::health::Subscriber;
use crate::model::Time;
use crate::overrides::{ChangeRecord, Store};
use crate::stats::Window;
use commit::Committing;

/// Debounce of health changes, so that one snapshot is built for several.
const HEALTH_DEBOUNCE: Duration = Duration::from_millis(20);

/// At most one set of a source is applied in this time: the first at once.
const DISCOVERY_INTERVAL: Duration = Duration::from_millis(50);

/// Message to the writer.
#[derive(Debug)]
pub(super) enum Command {
    /// A change by an operator.
    Change(ChangeRequest),
    /// What a change would do is asked for.
    Preview(Box<PreviewRequest>),
    /// A new configuration.
    Configure(Box<StageRequest>),
    /// The service is no longer configured: refuse further changes and return the last revision.
    Retire(oneshot::Sender<u64>),
}

/// Owns all mutable state of a service.
pub(super) struct Writer {
    /// The desired state that is published.
    desired: Desired,
    /// Overrides by operators that are in effect.
    overrides: Arc<[OverrideView]>,
    history: History,
    stats: ServiceStats,
    results: Results,
    zone_spill: ZoneSpill,
    /// Notified when the health of a backend changes.
    health_subscriber: Arc<Subscriber>,
    ejections: Arc<EjectionCounts>,
    build_pool: BuildPool,
    clock: Clock,
    rng: fastrand::Rng,
    publisher: Arc<SnapshotPublisher>,
    view: watch::Sender<Arc<ServiceView>>,
    /// The set of the source that is in effect.
    applied: Option<DiscoveredSet>,
    /// Keeps changes before they take effect.
    store: Arc<dyn Store>,
    /// Changes that are being kept. Others wait until they are.
    committing: Option<Committing>,
    /// A command that has come with these.
    queued: Option<Command>,
    /// What an earlier process has left, and is no longer configured.
    ended: Option<Arc<ChangeRecord>>,
    /// The service is no longer configured.
    retired: bool,
}

impl Writer {
    /// Creates the writer and publishes the first revision.
    pub(super) fn new(
        config: ServiceConfig,
        environment: &Environment,
        initial: InitialState,
    ) -> Writer {
        let InitialState { revision, counts, removed, retention, kept, store } = initial;
        let (rejections, clock) = (&counts.rejections, environment.clock);
        let health_subscriber = Subscriber::new(&counts.checks);
        let health = Arc::clone(&health_subscriber);
        let (desired, ended) = Desired::new(config, environment, health, revision, kept);
        let mut rng = environment.rng(&desired.spec.name);
        let snapshot = Snapshot::of(&desired, 1, None, &mut rng);
        let mut history = History::default();
        history.begin(revision..=revision, &OutcomeCounts::of(&desired.endpoints()));
        let view = ServiceView::empty(&desired.spec, rejections, clock);
        let mut stats = ServiceStats::new(rejections, retention);
        stats.retain_removed(removed, clock.now());
        let writer = Writer {
            overrides: desired.overridden().into(),
            history,
            stats,
            health_subscriber,
            results: Results::default(),
            zone_spill: ZoneSpill::default(),
            ejections: Arc::clone(&counts.ejections),
            build_pool: environment.build_pool.clone(),
            clock,
            rng,
            publisher: SnapshotPublisher::new(snapshot),
            view: watch::Sender::new(Arc::new(view)),
            applied: None,
            store,
            committing: None,
            queued: None,
            ended,
            retired: false,
            desired,
        };
        writer.publish_view();
        writer
    }

    /// Where snapshots are published.
    pub(super) fn publisher(&self) -> Arc<SnapshotPublisher> {
        Arc::clone(&self.publisher)
    }

    /// Where views are published.
    pub(super) fn view(&self) -> watch::Receiver<Arc<ServiceView>> {
        self.view.subscribe()
    }

    /// Event loop: commands, health, ejections and statistics, until all handles are dropped.
    pub(super) async fn run(&mut self, inbox: &mut mpsc::Receiver<Command>) {
        let mut tick = interval(Window::PUSH_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let health_subscriber = Arc::clone(&self.health_subscriber);
        let reevaluate_signal = Arc::clone(&self.desired.reevaluate_signal);
        // After a panic this runs again, and a notification may have been lost.
        let mut reevaluate_at = Some(self.clock.now());
        let name_subscriber = Arc::clone(&self.desired.name_subscriber);
        let (mut discover_at, mut names_changed) = (self.clock.now(), false);
        if let Some(ended) = self.ended.take() {
            self.end(ended).await;
        }
        loop {
            let due = reevaluate_at.into_iter().chain(self.desired.next_due()).min();
            tokio::select! {
                biased;
                _ = tick.tick() => self.tick().await,
                () = self.clock.sleep_until(due.unwrap_or(Time::ZERO)), if due.is_some() => {
                    reevaluate_at = None;
                    self.reevaluate(&Outliers::new()).await;
                }
                () = reevaluate_signal.notified() => self.reevaluate(&Outliers::new()).await,
                () = health_subscriber.changed(), if reevaluate_at.is_none() => {
                    reevaluate_at = Some(self.clock.now() + HEALTH_DEBOUNCE);
                }
                () = name_subscriber.changed(), if !names_changed => names_changed = true,
                () = self.clock.sleep_until(discover_at), if names_changed => {
                    (discover_at, names_changed) = (self.clock.now() + DISCOVERY_INTERVAL, false);
                    self.apply_discovered().await;
                }
                () = another_set(self.desired.source.clone(), &self.applied, self.clock, discover_at) => {
                    discover_at = self.clock.now() + DISCOVERY_INTERVAL;
                    self.apply_discovered().await;
                }
                kept = commit::kept(&mut self.committing), if self.committing.is_some() => {
                    self.commit(kept).await;
                    if let Some(command) = self.queued.take() {
                        self.handle_command(command, inbox).await;
                    }
                }
                command = inbox.recv(), if self.committing.is_none() => match command {
                    Some(command) => self.handle_command(command, inbox).await,
                    None => return self.log_cuts(),
                },
            }
        }
    }

    async fn handle_command(&mut self, command: Command, inbox: &mut mpsc::Receiver<Command>) {
        let mut next = Some(command);
        while let Some(command) = next.take() {
            match command {
                Command::Change(request) => {
                    next = self.decide_changes(request, inbox).await;
                    if self.committing.is_some() {
                        self.queued = next;
                        return;
                    }
                }
                Command::Preview(request) => self.preview(*request),
                Command::Configure(request) => self.configure(*request).await,
                Command::Retire(answer) => {
                    self.retired = true;
                    self.desired = self.desired.clone().retired();
                    let _ = answer.send(self.desired.revision);
                }
            }
        }
    }

    /// Once a second: updates the statistics, and looks for outliers.
    async fn tick(&mut self) {
        self.log_cuts();
        let now = self.clock.now();
        let Desired { spec, backends, demand, .. } = &self.desired;
        self.stats.advance(backends, now);
        if let Some(zone) = &spec.prefer_zone {
            self.zone_spill.push(backends, zone);
        }
        self.keep_near();
        self.publish_view();
        let flow = self.view.borrow().recent.requests > 0;
        if flow {
            demand.note(now);
        }
        self.desired.source.iter().for_each(|source| source.note_requests(flow));
        self.desired.name_subscriber.note_requests(flow);
        let outliers = spec.ejection.as_ref().map(|ejection| {
            self.results.push(backends, now);
            // With hash policies, backends get different requests, and so different latencies.
            self.results.outliers(ejection, spec.balancer.factory.key().is_none())
        });
        let outliers = outliers.unwrap_or_default();
        // Suspects are re-evaluated too, since other backends may have begun to answer, and slow
        // starts that are over, so that picks cost nothing extra any more.
        let due = self.desired.has_suspects() || self.desired.has_finished_slow_start(now);
        if !outliers.is_empty() || due {
            self.reevaluate(&outliers).await;
        }
    }

    /// Re-evaluates health, ejections and the time of overrides, and publishes a snapshot if they have
    /// changed.
    async fn reevaluate(&mut self, outliers: &Outliers) {
        let Some(Reevaluated { desired, expired, ended }) = self.desired.reevaluated(outliers)
        else {
            return;
        };
        let changes = ConditionChanges::between(&self.desired, &desired);
        let builder = self.transition_builder();
        let transition = self.build_pool.run(move || builder.build(desired)).await;
        self.apply(transition);
        changes.causes().for_each(|cause| self.ejections.count(cause));
        changes.log(&self.desired.spec.name);
        self.log_expired(&expired);
        if let Some(ended) = ended {
            self.end(ended).await;
        }
    }

    /// Where snapshots are built.
    pub(super) fn build_pool(&self) -> &BuildPool {
        &self.build_pool
    }

    /// Copies the current state, for building the next snapshot on another thread.
    pub(super) fn transition_builder(&mut self) -> TransitionBuilder {
        TransitionBuilder {
            desired: self.desired.clone(),
            snapshot: self.publisher.snapshot().load_full(),
            rng: self.rng.fork(),
            retired: self.retired,
        }
    }

    /// Makes this the current state and publishes it.
    fn apply(&mut self, transition: Transition) {
        let Transition { desired, snapshot, overrides, counts, removed } = transition;
        let revisions = self.desired.revision + 1..=desired.revision;
        log_panic(&self.desired, &desired);
        self.desired = desired;
        self.overrides = overrides;
        self.stats.remove(removed, self.clock.now());
        self.history.begin(revisions, &counts);
        self.keep_near();
        self.publisher.publish(&snapshot);
        self.publish_view();
    }

    /// Says how many requests stay in the gateway's zone, if that is preferred.
    fn keep_near(&self) {
        let Desired { spec, backends, near_part, .. } = &self.desired;
        if let Some(zone) = &spec.prefer_zone {
            near_part.set(self.zone_spill.near_part(backends, zone));
        }
    }

    fn log_cuts(&mut self) {
        self.stats.log_cuts(&self.desired.spec.name, &self.desired.backends);
    }

    fn publish_view(&self) {
        let Desired { spec, revision, backends, near_part, .. } = &self.desired;
        let view = |backend| self.stats.view(backend, false);
        self.view.send_replace(Arc::new(ServiceView {
            spec: Arc::clone(spec),
            revision: *revision,
            generation: self.publisher.snapshot().load().generation,
            backends: backends.iter().map(view).collect(),
            overrides: Arc::clone(&self.overrides),
            source: self.desired.source.clone(),
            names: Arc::clone(&self.desired.names),
            is_discovered: self.applied.is_some(),
            leaving: self.stats.leaving(),
            removed: self.stats.removed(),
            rejections: Arc::clone(self.stats.rejections()),
            near_part: spec.prefer_zone.as_ref().map(|_| near_part.get()),
            recent: self.stats.recent(),
            ewma: spec.balancer.factory.ewma(),
            clock: self.clock,
            history: self.history.clone(),
            changes: self.desired.log().clone(),
        }));
    }
}
