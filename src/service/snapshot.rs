//! What the data path needs of a service, as one immutable value.

use std::fmt;
use std::sync::Arc;

use super::ServiceSpec;
use super::desired::Desired;
use super::standing::BackendState;
use crate::balance::Picker;
use crate::model::{Endpoint, EndpointSet, Member};

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
    /// The endpoints that may take a request.
    pub set: Arc<EndpointSet>,
    /// Chooses among the set; `None` when that is empty.
    pub picker: Option<Arc<dyn Picker>>,
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
        let members = backends.iter().map(|backend| Member {
            endpoint: Arc::clone(&backend.endpoint),
            weight: backend.standing(now).weight,
        });
        let set = EndpointSet::new(members, spec.balancer.factory.ewma());
        // Also of weight 0: whoever is about to raise that wants to know whether it can be reached.
        let kept = backends.iter().filter(|it| it.standing(now).state != BackendState::Draining);
        let kept = kept.take(spec.preconnect).map(|backend| Arc::clone(&backend.endpoint));
        let (set, picker) = match before.filter(|before| before.picks_as(spec, &set)) {
            Some(before) => (Arc::clone(&before.set), before.picker.clone()),
            None => {
                let set = Arc::new(set);
                let build = || spec.balancer.factory.build(Arc::clone(&set), rng).into();
                let picker = (!set.is_empty()).then(build);
                (set, picker)
            }
        };
        Snapshot {
            revision: *revision,
            generation,
            spec: Arc::clone(spec),
            endpoints: desired.endpoints(),
            kept: kept.collect(),
            set,
            picker,
        }
    }

    /// Whether its picker is the one that is wanted: where it begins anew, those who take turns
    /// would start from the first again.
    fn picks_as(&self, spec: &ServiceSpec, set: &EndpointSet) -> bool {
        let same = |(one, other): (&Member, &Member)| {
            one.endpoint.id() == other.endpoint.id() && one.weight == other.weight
        };
        self.spec.balancer == spec.balancer
            && self.set.len() == set.len()
            && self.set.members().iter().zip(set.members()).all(same)
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
