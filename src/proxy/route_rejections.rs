//! Rejection counters of a route on one worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::model::{RejectCounts, RejectReason};
use crate::service::{Registry, Service};

/// Rejection counters of one route.
pub struct RouteRejections {
    route: Box<str>,
    /// The counters by service, cached from the service itself.
    counts: RefCell<Vec<(Arc<Service>, Arc<RejectCounts>)>>,
}

impl RouteRejections {
    /// Counters for the route of this name.
    pub fn new(route: &str) -> Rc<RouteRejections> {
        Rc::new(RouteRejections { route: route.into(), counts: RefCell::default() })
    }

    /// The route's name.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Counts a rejected request for `service`.
    pub fn reject(&self, service: &Arc<Service>, reason: RejectReason, worker: usize) {
        let mut counts = self.counts.borrow_mut();
        if let Some((_, counts)) = counts.iter().find(|(known, _)| Arc::ptr_eq(known, service)) {
            return counts.increment(reason, worker);
        }
        let new = service.rejections().of(&self.route);
        new.increment(reason, worker);
        counts.push((Arc::clone(service), new));
    }

    /// Counts a rejected request of a route without a service.
    pub fn reject_unserved(&self, registry: &Registry, reason: RejectReason, worker: usize) {
        registry.rejections().of(&self.route).increment(reason, worker);
    }
}
