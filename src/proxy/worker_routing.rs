//! Routing on one worker: the newest routing snapshot, with this worker's state of each service.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::exchange::{Stage, Stages, stages};
use super::head_cache::HeadCache;
use super::route_rejections::RouteRejections;
use super::worker_service::WorkerService;
use crate::http::Headers;
use crate::net::Worker;
use crate::route::{Route, RouteQuery, RouteTable};
use crate::service::{Registry, Routing, RoutingCache, Service, Snapshot};
use crate::telemetry::WorkerMetrics;
use crate::upstream::{Dialer, UnreachableCount};

/// A routing snapshot with this worker's state of each of its services.
#[derive(Default)]
pub struct WorkerRouting {
    routing: Arc<Routing>,
    worker_services: Rc<[Rc<WorkerService>]>,
    /// Indexed by route.
    rejections: Rc<[Rc<RouteRejections>]>,
    /// Indexed by route.
    stages: Rc<[Stages]>,
    /// Cache of route lookups by head tag.
    cached_routes: Rc<HeadCache<usize>>,
}

impl WorkerRouting {
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
        self.cached_routes
            .get_or_find(head, || self.routes().find_numbered(&query()).map(|(number, _)| number))
    }

    /// The service at this index.
    pub fn worker_service(&self, service: usize) -> Option<&Rc<WorkerService>> {
        self.worker_services.get(service)
    }

    /// The rejection counters of a route.
    pub fn rejections(&self, route: usize) -> Option<&Rc<RouteRejections>> {
        self.rejections.get(route)
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
    unreachable_count: Rc<UnreachableCount>,
    cache: RefCell<RoutingCache>,
    worker_routing: RefCell<Rc<WorkerRouting>>,
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
            unreachable_count: Rc::default(),
            cache: RefCell::new(registry.routing_cache()),
            worker_routing: RefCell::default(),
        };
        router.rebuild();
        router
    }

    /// The newest routing: a request sees whatever was published before it.
    pub fn current(&self) -> Rc<WorkerRouting> {
        let stale = {
            let mut cache = self.cache.borrow_mut();
            !Arc::ptr_eq(cache.load(), &self.worker_routing.borrow().routing)
        };
        if stale {
            self.rebuild();
        }
        Rc::clone(&self.worker_routing.borrow())
    }

    /// Applies the newest routing, so that a worker without requests closes outdated connections
    /// too.
    pub fn refresh(&self) {
        self.current();
    }

    /// Rebuilds from the newest routing. A service that stays keeps its connections.
    fn rebuild(&self) {
        let routing = Arc::clone(self.cache.borrow_mut().load());
        let before = Rc::clone(&self.worker_routing.borrow());
        let worker_services = match Arc::ptr_eq(&routing.services, &before.routing.services) {
            true => Rc::clone(&before.worker_services),
            false => self.worker_services(&routing, &before),
        };
        let stay: HashSet<_> = worker_services.iter().map(Rc::as_ptr).collect();
        let gone = before
            .worker_services
            .iter()
            .filter(|worker_service| !stay.contains(&Rc::as_ptr(worker_service)));
        gone.for_each(|worker_service| worker_service.retire());
        for (worker_service, snapshot) in worker_services.iter().zip(&routing.snapshots) {
            worker_service.update(snapshot);
        }
        let worker_routing = match Arc::ptr_eq(&routing.routes, &before.routing.routes) {
            true => WorkerRouting {
                routing,
                worker_services,
                rejections: Rc::clone(&before.rejections),
                stages: Rc::clone(&before.stages),
                cached_routes: Rc::clone(&before.cached_routes),
            },
            false => WorkerRouting {
                worker_services,
                rejections: routing.routes.names().map(RouteRejections::new).collect(),
                stages: route_stages(&routing.routes),
                cached_routes: Rc::default(),
                routing,
            },
        };
        *self.worker_routing.borrow_mut() = Rc::new(worker_routing);
    }

    /// This worker's state of each service, reused where it exists.
    fn worker_services(
        &self,
        routing: &Routing,
        before: &WorkerRouting,
    ) -> Rc<[Rc<WorkerService>]> {
        let known = before
            .worker_services
            .iter()
            .map(|worker_service| (worker_service.service().name(), worker_service));
        let known: HashMap<&str, &Rc<WorkerService>> = known.collect();
        let worker_service = |(service, snapshot): (&Arc<Service>, &Arc<Snapshot>)| match known
            .get(service.name())
        {
            Some(worker_service) if Arc::ptr_eq(worker_service.service(), service) => {
                Rc::clone(worker_service)
            }
            _ => {
                let (dialer, unreachable_count) = (&self.dialer, &self.unreachable_count);
                Rc::new(WorkerService::new(
                    &self.worker,
                    service,
                    snapshot,
                    &self.metrics,
                    dialer,
                    unreachable_count,
                ))
            }
        };
        routing.services.iter().zip(&routing.snapshots).map(worker_service).collect()
    }
}

/// The stages of each route, indexed by route.
fn route_stages(routes: &RouteTable) -> Rc<[Stages]> {
    let stages = routes.iter().map(|(_, route, _)| match route {
        Route::Forward(forward) => stages(&forward.policies),
        Route::Redirect(_) => Stages::default(),
    });
    stages.collect()
}
