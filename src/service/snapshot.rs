//! What the data path needs of a service, as one immutable value.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use tokio::sync::Notify;

use super::ServiceSpec;
use super::desired::Desired;
use super::picking::{Picking, Pickings};
use super::standing::BackendState;
use crate::balance::Picker;
use crate::model::{Endpoint, EndpointSet};

/// What the data path needs of a service. Never changes; a change makes a new one.
pub struct Snapshot {
    /// How often operators had changed the service.
    pub revision: u64,
    /// Its number among the snapshots of the service, whatever made them.
    pub generation: u64,
    /// How requests are spread and connections are made.
    pub spec: Arc<ServiceSpec>,
    /// All endpoints of the service; connections to others are not needed.
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// Those to which a connection is kept, whether or not requests ask for it.
    pub kept: Box<[Arc<Endpoint>]>,
    /// The endpoints that the picker speaks of. Each that it gives may take a request.
    pub set: Arc<EndpointSet>,
    /// Chooses among the set; `None` when none of that may take any.
    pub picker: Option<Arc<dyn Picker>>,
    /// Those of the set, by index, that are on trial: each gets one request at a time.
    pub trials: Box<[usize]>,
    /// So few stand that those get requests too who are out.
    pub panics: bool,
    /// Has the writer look whether anybody is to be ejected, or back.
    pub suspicion: Arc<Notify>,
    pickings: Pickings,
}

impl Snapshot {
    /// What is `desired`, as this generation. It may take long: a picker is built, unless that of
    /// the snapshot `before` fits.
    pub(super) fn of(
        desired: &Desired,
        generation: u64,
        before: Option<&Snapshot>,
        rng: &mut fastrand::Rng,
    ) -> Snapshot {
        let Desired { spec, revision, backends, .. } = desired;
        let now = desired.now();
        // Also of weight 0: whoever is about to raise that wants to know whether it can be reached.
        let kept = backends.iter().filter(|it| it.standing(now).state != BackendState::Draining);
        let kept = kept.take(spec.preconnect).map(|backend| Arc::clone(&backend.endpoint));
        let same = before.filter(|before| before.spec.balancer == spec.balancer);
        let before = same.map(|before| &before.pickings);
        let pickings = Pickings::of(&spec.balancer, backends, now, before, rng);
        let Picking { set, picker } = pickings.now.clone();
        let on_trial = backends.iter().filter(|it| it.condition.is_on_trial());
        let on_trial: HashSet<_> = on_trial.map(|backend| backend.endpoint.id()).collect();
        let places = set.members().iter().zip(0..);
        let trials = places.filter(|(member, _)| on_trial.contains(&member.endpoint.id()));
        Snapshot {
            revision: *revision,
            generation,
            spec: Arc::clone(spec),
            endpoints: desired.endpoints(),
            kept: kept.collect(),
            trials: trials.map(|(_, index)| index).collect(),
            panics: backends.iter().any(|backend| backend.condition.needed),
            suspicion: Arc::clone(&desired.suspicion),
            set,
            picker,
            pickings,
        }
    }
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
