//! Immutable snapshot of a service for the data path: endpoints, weights and the built picker.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use tokio::sync::Notify;

use super::ServiceSpec;
use super::desired::{Backend, Desired};
use super::pickers::{BuiltPicker, Pickers};
use super::standing::BackendState;
use crate::balance::{NearZone, Picker, Ramps, Share};
use crate::model::{Endpoint, EndpointId, EndpointSet, Member, Time};
use crate::upstream::Demand;

/// Immutable snapshot of a service for the data path; a change builds a new one.
pub struct Snapshot {
    /// Increments on every change by an operator.
    pub revision: u64,
    /// Increments on every snapshot, whatever the cause.
    pub generation: u64,
    /// Balancer, connection settings, health check and ejection.
    pub spec: Arc<ServiceSpec>,
    /// All endpoints of the service; connections to others are closed.
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// Endpoints to preconnect: a connection is kept even without requests.
    pub preconnected: Box<[Arc<Endpoint>]>,
    /// When the requests in flight at drained endpoints are cut off, where there is a limit.
    pub drain_deadlines: Box<[(EndpointId, Time)]>,
    /// The endpoints that the picker's indices refer to; it returns eligible ones only.
    pub set: Arc<EndpointSet>,
    /// The picker; `None` if no endpoint is eligible.
    pub picker: Option<Arc<dyn Picker>>,
    /// Calls that may be in flight, if there is a limit.
    pub call_limit: Option<u32>,
    /// Indices into `set` of endpoints on trial after an ejection: one request at a time each.
    pub trials: Box<[usize]>,
    /// Endpoints that start slowly.
    pub ramps: Ramps,
    /// The endpoints in the gateway's zone, if that is preferred, and some are there and others not.
    pub near: Option<NearZone>,
    /// Panic mode: unhealthy and ejected endpoints get requests too.
    pub panic_mode: bool,
    /// Endpoints that are down, but for drained ones: one worker reconnects to each.
    pub down: Box<[Arc<Endpoint>]>,
    /// Whether any of these gets requests once it is up.
    pub recovers: bool,
    /// Wakes the writer to re-evaluate which endpoints are ejected or down.
    pub reevaluate_signal: Arc<Notify>,
    /// Whether the service was requested recently.
    pub demand: Arc<Demand>,
    pickers: Pickers,
}

impl Snapshot {
    /// Builds the snapshot of `desired`. Slow with many endpoints: a picker is built, unless that of
    /// the previous snapshot can be reused.
    pub(super) fn of(
        desired: &Desired,
        generation: u64,
        before: Option<&Snapshot>,
        rng: &mut fastrand::Rng,
    ) -> Snapshot {
        let Desired { spec, revision, backends, .. } = desired;
        let now = desired.now();
        // Weight 0 included: before raising it, an operator wants to see whether it is reachable.
        let preconnected =
            backends.iter().filter(|it| it.standing(now).state != BackendState::Draining);
        let preconnected =
            preconnected.take(spec.preconnect).map(|backend| Arc::clone(&backend.endpoint));
        let same = before.filter(|before| before.spec.balancer == spec.balancer);
        let before = same.map(|before| &before.pickers);
        let pickers =
            Pickers::of(&spec.balancer, spec.prefer_zone.as_deref(), backends, now, before, rng);
        let near = pickers.near_zone(&desired.near_part);
        let BuiltPicker { set, picker } = pickers.current.clone();
        let down =
            backends.iter().filter(|it| it.condition.down.is_some() && !it.intent.is_taken_out());
        let on_trial = backends.iter().filter(|it| it.condition.is_on_trial());
        let on_trial: HashSet<_> = on_trial.map(|backend| backend.endpoint.id()).collect();
        let places = set.members().iter().zip(0..);
        let trials = places.filter(|(member, _)| on_trial.contains(&member.endpoint.id()));
        let drain_deadlines = backends
            .iter()
            .filter_map(|it| Some((it.endpoint.id(), it.serving_period.drain_deadline?)));
        Snapshot {
            revision: *revision,
            generation,
            spec: Arc::clone(spec),
            endpoints: desired.endpoints(),
            preconnected: preconnected.collect(),
            drain_deadlines: drain_deadlines.collect(),
            call_limit: spec.concurrency.as_ref().and_then(|it| it.call_limit(set.len())),
            trials: trials.map(|(_, index)| index).collect(),
            ramps: ramps(desired, &set, near.is_some(), now),
            near,
            panic_mode: backends.iter().any(|backend| backend.condition.in_panic),
            recovers: down.clone().any(|backend| backend.intent.weight > 0),
            down: down.map(|backend| Arc::clone(&backend.endpoint)).collect(),
            reevaluate_signal: Arc::clone(&desired.reevaluate_signal),
            demand: Arc::clone(&desired.demand),
            set,
            picker,
            pickers,
        }
    }
}

/// Those of the backends that start slowly, as members of `set`.
fn ramps(desired: &Desired, set: &EndpointSet, by_zone: bool, now: Time) -> Ramps {
    let Desired { backends, spec, .. } = desired;
    let starting = backends.iter().filter_map(|it| Some((it.endpoint.id(), (it, it.ramp?))));
    let starting: HashMap<_, _> = starting.collect();
    if starting.is_empty() {
        return Ramps::default();
    }
    let is_near = |it: &Backend| spec.prefer_zone.as_ref().is_some_and(|zone| it.is_in(zone));
    let total = |of: fn(bool) -> bool| {
        let counted = backends.iter().filter(|it| of(is_near(it)));
        let weights = counted.map(|backend| u64::from(backend.standing(now).weight));
        weights.sum::<u64>().max(1) as f64
    };
    let (all, near) = (total(|_| true), total(|near| near));
    let members = set.members().iter().enumerate();
    let members = members.filter_map(|(index, Member { endpoint, weight })| {
        let (backend, ramp) = starting.get(&endpoint.id())?;
        let weight = f64::from(*weight);
        let of_near = if is_near(backend) { weight / near } else { 0.0 };
        Some((index, &**endpoint, *ramp, Share { of_all: weight / all, of_near }))
    });
    let part = by_zone.then(|| Arc::clone(&desired.near_part));
    Ramps::new(members, spec.balancer.factory.key().is_some(), part)
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("service", &self.spec.name)
            .field("revision", &self.revision)
            .field("generation", &self.generation)
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}
