//! Desired state of a service: configuration and operators' overrides merged, with the health of
//! its backends. An immutable value: a change returns a new one, which takes effect when published.

mod changes;
mod discovered;
mod evaluate;
mod names;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::ejection::EjectionState;
use super::membership::{Layer, MergedIntent};
use super::overrides::Overrides;
use super::slow_start::Arrival;
use super::standing::{Condition, Standing, standing};
use super::{Environment, OverrideView, ServiceConfig, ServiceSpec, ServingPeriod, Zones};
use crate::balance::{NearPart, Ramp};
use crate::clock::Clock;
use crate::discovery::{self, Discovered, Discovery, NameSubscriber, NameSubscription};
use crate::health::{self, Check, HealthMonitor, Subscriber, Subscription};
use crate::model::{Address, Endpoint, Time};
use crate::overrides::{ChangeLog, ChangeRecord, KeptState};
use crate::upstream::Demand;
pub(super) use changes::Changed;
pub(super) use discovered::another_set;
pub(super) use evaluate::Reevaluated;
use names::Member;

/// Desired state of a service.
#[derive(Clone, Debug)]
pub(super) struct Desired {
    workers: usize,
    clock: Clock,
    health: Arc<HealthMonitor>,
    discovery: Arc<Discovery>,
    /// Notified when the health of a backend changes.
    health_subscriber: Arc<Subscriber>,
    /// Notified when a backend may have to be ejected, when its ejection may end, and when it goes
    /// down or up.
    pub(super) reevaluate_signal: Arc<Notify>,
    /// Whether the service was requested recently.
    pub(super) demand: Arc<Demand>,
    /// The part of the requests that stays in the gateway's zone, where that is preferred.
    pub(super) near_part: Arc<NearPart>,
    /// The spec as configured.
    configured: Arc<ServiceSpec>,
    /// The backends as configured.
    members: Arc<Layer>,
    /// The zones of backends as configured.
    zones: Zones,
    /// The backends as configured and discovered: what overrides are above.
    below: Arc<Layer>,
    /// Follows the registry, if there is one.
    pub(super) source: Option<Arc<discovery::Subscription>>,
    /// The names among the backends, by host.
    pub(super) names: Arc<HashMap<Box<str>, NameSubscription>>,
    /// Notified when what they resolve to changes.
    pub(super) name_subscriber: Arc<NameSubscriber>,
    /// What the registry says of each backend.
    registered: Arc<HashMap<Address, Arc<Discovered>>>,
    overrides: Overrides,
    /// The last changes by operators.
    log: ChangeLog,
    /// The spec in effect: as configured, but for an overridden balancer.
    pub(super) spec: Arc<ServiceSpec>,
    /// Increments on every change by an operator.
    pub(super) revision: u64,
    pub(super) backends: Arc<[Backend]>,
    /// It only shows what would be: nothing outside of it may change by it.
    pub(super) preview: bool,
}

/// A backend of a service. One that is removed and added again is a new backend.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    /// Of a name, one of the addresses that it resolves to.
    pub(super) address: Address,
    /// The name that was resolved.
    pub(super) name: Option<Address>,
    /// How many addresses share its weight.
    pub(super) shared_by: u32,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) intent: MergedIntent,
    /// What a registry says of it, if one does.
    pub(super) registered: Option<Arc<Discovered>>,
    /// The zone that it is in, as the configuration or else a registry says.
    pub(super) zone: Option<Arc<str>>,
    /// Since when it is in or out of service.
    pub(super) serving_period: ServingPeriod,
    /// State of outlier ejection.
    pub(super) ejection: EjectionState,
    /// Health, ejection and panic mode.
    pub(super) condition: Condition,
    /// How often it went down.
    pub(super) down_count: u32,
    /// When it began to take requests, or since when it takes none.
    pub(super) arrival: Arrival,
    /// Its slow start, while that lasts.
    pub(super) ramp: Option<Ramp>,
    /// Subscription to its health check, if it is checked; dropping it ends the check.
    pub(super) checked: Option<Arc<Subscription>>,
}

impl Backend {
    /// Whether it is in this zone.
    pub(super) fn is_in(&self, zone: &str) -> bool {
        self.zone.as_deref() == Some(zone)
    }

    /// State, effective weight and reason at `now`.
    pub(super) fn standing(&self, now: Time) -> Standing {
        standing(
            self.intent,
            false,
            self.serving_period,
            &self.condition,
            self.endpoint.connectivity(now),
            self.ramp.map(|ramp| ramp.factor(now)),
        )
    }

    /// Begins a new serving period if the backend was taken out or put back since `before`.
    fn follow(&mut self, before: &Backend, now: Time) {
        let out = |it: &Backend| (!it.intent.drained).then(|| it.condition.is_available());
        if out(before) != out(self) {
            let drain_deadline = self.serving_period.drain_deadline;
            let renewed = ServingPeriod::new(&self.endpoint, now);
            self.serving_period = ServingPeriod { drain_deadline, ..renewed };
        }
    }
}

impl Desired {
    /// The state that `config` describes, with the overrides that an earlier process has left.
    /// Returns what of these has ended, too.
    pub(super) fn new(
        config: ServiceConfig,
        environment: &Environment,
        health_subscriber: Arc<Subscriber>,
        revision: u64,
        kept: Option<KeptState>,
    ) -> (Desired, Option<Arc<ChangeRecord>>) {
        let spec = Arc::new(config.spec);
        let Environment { workers, clock, .. } = *environment;
        let KeptState { settings, log, .. } = kept.unwrap_or_default();
        let desired = Desired {
            workers,
            clock,
            health: Arc::clone(&environment.health),
            discovery: Arc::clone(&environment.discovery),
            health_subscriber,
            reevaluate_signal: Arc::default(),
            demand: Arc::default(),
            near_part: Arc::default(),
            configured: Arc::clone(&spec),
            members: Arc::new(config.members),
            zones: config.zones,
            below: Arc::default(),
            source: None,
            names: Arc::default(),
            name_subscriber: NameSubscriber::new(),
            registered: Arc::default(),
            overrides: Overrides::restored(settings, clock.now()),
            log,
            spec,
            revision,
            backends: Arc::default(),
            preview: false,
        };
        let mut desired = desired.with_source();
        let ended = desired.prune();
        (desired.merged(), ended)
    }

    /// Applies another configuration, keeping the overrides; returns those that have ended, too.
    /// `None` if nothing differs.
    pub(super) fn reconfigured(
        &self,
        config: ServiceConfig,
    ) -> Option<(Desired, Option<Arc<ChangeRecord>>)> {
        let ServiceConfig { mut spec, members, zones } = config;
        spec.upstream.keep_sessions_of(&self.configured.upstream);
        if spec == *self.configured && members == *self.members && zones == self.zones {
            return None;
        }
        let (configured, members) = (Arc::new(spec), Arc::new(members));
        let mut next = Desired { configured, members, zones, ..self.clone() }.with_source();
        let ended = next.prune();
        Some((next.merged(), ended))
    }

    /// The same, to see what would be: no check begins, no name is looked up, no count is reset.
    pub(super) fn previewed(self) -> Desired {
        Desired { preview: true, ..self }
    }

    /// The same without health checks, and no longer following its source.
    pub(super) fn retired(self) -> Desired {
        let unchecked = |backend: &Backend| Backend { checked: None, ..backend.clone() };
        let backends = self.backends.iter().map(unchecked).collect();
        Desired { backends, source: None, ..self }
    }

    /// All endpoints.
    pub(super) fn endpoints(&self) -> Box<[Arc<Endpoint>]> {
        self.backends.iter().map(|backend| Arc::clone(&backend.endpoint)).collect()
    }

    /// The current time.
    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Overrides by operators, with the configured values.
    pub(super) fn overridden(&self) -> Vec<OverrideView> {
        self.overrides.list(&self.configured.balancer, &self.below)
    }

    /// Whether any backend is eligible, not considering health.
    fn has_eligible(&self) -> bool {
        self.backends
            .iter()
            .any(|Backend { intent, .. }| !intent.is_taken_out() && intent.weight > 0)
    }

    /// Merges configuration and overrides into the spec and the backends. Backends that stay keep
    /// their endpoint and its statistics.
    fn merged(mut self) -> Desired {
        self.spec = match self.overrides.balancer().cloned() {
            None => Arc::clone(&self.configured),
            Some(balancer) => Arc::new(ServiceSpec { balancer, ..(*self.configured).clone() }),
        };
        let overrides = self.overrides.layer();
        self.follow_names(&overrides);
        let members = self.members_of(&overrides);
        let known = Arc::clone(&self.backends);
        let before: HashMap<_, &Backend> = known.iter().map(|it| (it.identity(), it)).collect();
        let now = self.now();
        let backend = |Member { address, name, shared_by, intent }: Member| {
            let called = name.as_ref().unwrap_or(&address);
            let registered = self.registered.get(called).cloned();
            let told = registered.as_ref().and_then(|it| it.zone.as_ref());
            let zone = self.zones.get(called).or(told).cloned();
            let same = |known: &&&Backend| known.is_instance(registered.as_deref());
            let backend = match before.get(&(&address, name.as_ref())).filter(same) {
                Some(known) => Backend { intent, shared_by, registered, zone, ..(*known).clone() },
                None => {
                    let endpoint = Arc::new(self.endpoint(&address, name.as_ref()));
                    let (condition, serving_period) =
                        (Condition::default(), ServingPeriod::new(&endpoint, now));
                    let (ejection, down_count, checked) = (EjectionState::default(), 0, None);
                    let arrival = match known.is_empty() {
                        true => Arrival::at_start(),
                        false => Arrival::added(now),
                    };
                    Backend {
                        address,
                        name,
                        shared_by,
                        endpoint,
                        intent,
                        registered,
                        zone,
                        serving_period,
                        ejection,
                        condition,
                        down_count,
                        arrival,
                        ramp: None,
                        checked,
                    }
                }
            };
            let drain_deadline = backend.called().find_map(|it| self.overrides.drain_deadline(it));
            self.checked(Backend {
                serving_period: ServingPeriod { drain_deadline, ..backend.serving_period },
                ..backend
            })
        };
        self.backends = members.into_iter().map(backend).collect();
        let merged = self.with_suspicion().with_ejections(None).with_panic_mode();
        merged.following(&known).with_slow_starts()
    }

    /// Starts or stops the backend's health check as the spec says.
    fn checked(&self, backend: Backend) -> Backend {
        let check = self.spec.health.as_ref();
        let unchanged = backend.checked.as_ref().map(|checked| checked.check()) == check;
        if unchanged || self.preview {
            return backend;
        }
        let watch = |check: &Arc<Check>| {
            let address = backend.endpoint.address().into();
            let place = backend.name.as_ref().map(|_| backend.address.as_str().into());
            let known = backend.checked.as_ref().map(|checked| checked.health());
            let target = health::CheckTarget { address, place, check: Arc::clone(check) };
            Arc::new(self.health.watch(target, &self.health_subscriber, known))
        };
        let checked = check.map(watch);
        Backend { checked, ..backend }.with_health()
    }

    /// Begins new serving periods for backends that were taken out or put back since `before`.
    fn following(mut self, before: &[Backend]) -> Desired {
        let now = self.now();
        let before: HashMap<_, _> = before.iter().map(|it| (it.endpoint.id(), it)).collect();
        for backend in Arc::make_mut(&mut self.backends) {
            if let Some(before) = before.get(&backend.endpoint.id()) {
                backend.follow(before, now);
            }
        }
        self
    }
}
