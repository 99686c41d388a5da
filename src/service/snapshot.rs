//! What the data path needs of a service, as one immutable value.

use std::fmt;
use std::sync::Arc;

use super::ServiceSpec;
use crate::balance::Picker;
use crate::model::{Endpoint, EndpointSet};

/// What the data path needs of a service. Never changes; a change makes a new one.
pub struct Snapshot {
    /// The change that made it.
    pub revision: u64,
    /// How requests are spread and connections are made.
    pub spec: Arc<ServiceSpec>,
    /// All endpoints of the service; connections to others are not needed.
    pub endpoints: Box<[Arc<Endpoint>]>,
    /// Those to which a connection is kept, whether or not requests ask for it.
    pub kept: Box<[Arc<Endpoint>]>,
    /// The endpoints that may take a request.
    pub set: Arc<EndpointSet>,
    /// Chooses among the set; `None` when that is empty.
    pub picker: Option<Box<dyn Picker>>,
}

impl Snapshot {
    pub(super) fn new(
        revision: u64,
        spec: Arc<ServiceSpec>,
        endpoints: Box<[Arc<Endpoint>]>,
        kept: Box<[Arc<Endpoint>]>,
        set: EndpointSet,
        rng: &mut fastrand::Rng,
    ) -> Snapshot {
        let set = Arc::new(set);
        let build = || spec.balancer.factory.build(Arc::clone(&set), rng);
        let picker = (!set.is_empty()).then(build);
        Snapshot { revision, spec, endpoints, kept, set, picker }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("service", &self.spec.name)
            .field("revision", &self.revision)
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}
