//! Routing on one worker: the newest routing snapshot, with this worker's state of each service.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::by_tag::ByTag;
use super::exchange::{Stage, Stages, stages};
use super::tally::RouteTally;
use super::target::Target;
use crate::http::Headers;
use crate::net::Worker;
use crate::route::{Route, RouteQuery, RouteTable};
use crate::service::{Registry, Routing, RoutingCache, Service, Snapshot};
use crate::telemetry::WorkerMetrics;
use crate::upstream::{Dialer, Outages};

/// A routing snapshot with this worker's state of each of its services.
#[derive(Default)]
pub struct Routed {
    routing: Arc<Routing>,
    targets: Rc<[Rc<Target>]>,
    /// Indexed by route.
    tallies: Rc<[Rc<RouteTally>]>,
    /// Indexed by route.
    stages: Rc<[Stages]>,
    /// Cache of route lookups by head tag.
    known: Rc<ByTag<usize>>,
}

impl Routed {
    /// The routes.
    pub fn routes(&self) -> &RouteTable {
        &self.routing.routes
    }

    /// Finds the index of the route for a request; `query` is only built on a cache miss.
    pub fn find<'q>(
        &self,
        head: &Headers,
        query: impl FnOnce() -> RouteQuery<'q>,
    ) -> Option<usize> {
        self.known.find(head, || self.routes().find_numbered(&query()).map(|(number, _)| number))
    }

    /// The service at this index.
    pub fn target(&self, service: usize) -> Option<&Rc<Target>> {
        self.targets.get(service)
    }

    /// The rejection counters of a route.
    pub fn tally(&self, route: usize) -> Option<&Rc<RouteTally>> {
        self.tallies.get(route)
    }

    /// The policy stages of a route.
    pub fn stages(&self, route: usize) -> &[Box<dyn Stage>] {
        self.stages.get(route).map(|stages| &**stages).unwrap_or_default()
    }
}

/// Keeps a worker's routing up to date.
pub struct Router {
    worker: Rc<Worker>,
    metrics: Arc<WorkerMetrics>,
    dialer: Arc<Dialer>,
    outages: Rc<Outages>,
    cache: RefCell<RoutingCache>,
    routed: RefCell<Rc<Routed>>,
}

impl Router {
    /// Starts with the newest routing of `registry`.
    pub fn new(
        worker: &Rc<Worker>,
        registry: &Registry,
        metrics: &Arc<WorkerMetrics>,
        dialer: &Arc<Dialer>,
    ) -> Router {
        let router = Router {
            worker: Rc::clone(worker),
            metrics: Arc::clone(metrics),
            dialer: Arc::clone(dialer),
            outages: Rc::default(),
            cache: RefCell::new(registry.routing_cache()),
            routed: RefCell::default(),
        };
        router.renew();
        router
    }

    /// The newest routing: a request sees whatever was published before it.
    pub fn current(&self) -> Rc<Routed> {
        let stale = {
            let mut cache = self.cache.borrow_mut();
            !Arc::ptr_eq(cache.load(), &self.routed.borrow().routing)
        };
        if stale {
            self.renew();
        }
        Rc::clone(&self.routed.borrow())
    }

    /// Applies the newest routing, so that a worker without requests closes outdated connections
    /// too.
    pub fn refresh(&self) {
        self.current();
    }

    /// Rebuilds from the newest routing. A service that stays keeps its connections.
    fn renew(&self) {
        let routing = Arc::clone(self.cache.borrow_mut().load());
        let before = Rc::clone(&self.routed.borrow());
        let targets = match Arc::ptr_eq(&routing.services, &before.routing.services) {
            true => Rc::clone(&before.targets),
            false => self.targets(&routing, &before),
        };
        let stay: HashSet<_> = targets.iter().map(Rc::as_ptr).collect();
        let gone = before.targets.iter().filter(|target| !stay.contains(&Rc::as_ptr(target)));
        gone.for_each(|target| target.retire());
        for (target, snapshot) in targets.iter().zip(&routing.snapshots) {
            target.go_over(snapshot);
        }
        let routed = match Arc::ptr_eq(&routing.routes, &before.routing.routes) {
            true => Routed {
                routing,
                targets,
                tallies: Rc::clone(&before.tallies),
                stages: Rc::clone(&before.stages),
                known: Rc::clone(&before.known),
            },
            false => Routed {
                targets,
                tallies: routing.routes.names().map(RouteTally::new).collect(),
                stages: passed(&routing.routes),
                known: Rc::default(),
                routing,
            },
        };
        *self.routed.borrow_mut() = Rc::new(routed);
    }

    /// This worker's state of each service, reused where it exists.
    fn targets(&self, routing: &Routing, before: &Routed) -> Rc<[Rc<Target>]> {
        let known = before.targets.iter().map(|target| (target.service().name(), target));
        let known: HashMap<&str, &Rc<Target>> = known.collect();
        let target = |(service, snapshot): (&Arc<Service>, &Arc<Snapshot>)| match known
            .get(service.name())
        {
            Some(target) if Arc::ptr_eq(target.service(), service) => Rc::clone(target),
            _ => {
                let (dialer, outages) = (&self.dialer, &self.outages);
                Rc::new(Target::new(
                    &self.worker,
                    service,
                    snapshot,
                    &self.metrics,
                    dialer,
                    outages,
                ))
            }
        };
        routing.services.iter().zip(&routing.snapshots).map(target).collect()
    }
}

/// The stages of each route, indexed by route.
fn passed(routes: &RouteTable) -> Rc<[Stages]> {
    let stages = routes.iter().map(|(_, route, _)| match route {
        Route::Forward(forward) => stages(&forward.policies),
        Route::Redirect(_) => Stages::default(),
    });
    stages.collect()
}
