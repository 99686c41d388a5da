//! What one worker counts of a route's requests that no backend has answered.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::reject::Failure;
use super::target::Target;
use crate::model::{RejectCounts, Rejected};
use crate::service::{Registry, Service};

/// One route, and where its rejections are counted.
pub struct RouteTally {
    route: Box<str>,
    /// By service.
    counts: RefCell<Vec<(Arc<Service>, Arc<RejectCounts>)>>,
}

impl RouteTally {
    /// The tally of the route of this name.
    pub fn new(route: &str) -> Rc<RouteTally> {
        Rc::new(RouteTally { route: route.into(), counts: RefCell::default() })
    }

    /// The route's name.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Counts a request that was for `service`.
    pub fn reject(&self, service: &Arc<Service>, reason: Rejected, worker: usize) {
        let mut counts = self.counts.borrow_mut();
        if let Some((_, counts)) = counts.iter().find(|(known, _)| Arc::ptr_eq(known, service)) {
            return counts.increment(reason, worker);
        }
        let new = service.rejections().of(&self.route);
        new.increment(reason, worker);
        counts.push((Arc::clone(service), new));
    }

    /// Counts a request of a route that leads to no service.
    pub fn reject_unserved(&self, registry: &Registry, reason: Rejected, worker: usize) {
        registry.rejections().of(&self.route).increment(reason, worker);
    }
}

/// Where a request goes, and by which route.
pub struct Destination {
    target: Rc<Target>,
    tally: Rc<RouteTally>,
}

impl Destination {
    /// To `target`, by the route of `tally`.
    pub fn new(target: &Rc<Target>, tally: &Rc<RouteTally>) -> Destination {
        Destination { target: Rc::clone(target), tally: Rc::clone(tally) }
    }

    /// The service.
    pub fn target(&self) -> &Rc<Target> {
        &self.target
    }

    /// Counts the request as one that failed before a backend had it.
    pub fn refuse(&self, failure: Failure) -> Failure {
        if let Some(reason) = failure.reason() {
            self.count(reason);
        }
        failure
    }

    /// Counts the request as one whose client gave up before a backend had it.
    pub fn give_up(&self) {
        self.count(Rejected::Cancelled);
    }

    fn count(&self, reason: Rejected) {
        self.tally.reject(self.target.service(), reason, self.target.worker_index());
    }
}
