//! Where requests go: the routes, and the services that they speak of, as one value.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Service, Snapshot, Splits};
use crate::route::RouteTable;

/// Where requests go. Never changes: another configuration, and any change of a service, make a new
/// one. So what a request goes by belongs together.
#[derive(Debug, Default)]
pub struct Routing {
    /// The number of the configuration, from 1 on: it made the routes and all the services.
    pub configuration: u64,
    /// The routes. They speak of services by index.
    pub routes: Arc<RouteTable>,
    /// The services, by that index.
    pub services: Arc<[Arc<Service>]>,
    /// The newest snapshots of the services, by that index.
    pub snapshots: Box<[Arc<Snapshot>]>,
    /// How the routes split their requests, and what of that operators want.
    pub splits: Arc<Splits>,
}

/// A worker's own reference to the newest routing; `load` costs one comparison of pointers.
pub type RoutingCache = arc_swap::Cache<Arc<ArcSwap<Routing>>, Arc<Routing>>;

impl Routing {
    /// The same with another snapshot of the service of this name, if it has that and another one.
    fn with(&self, service: &str, snapshot: &Arc<Snapshot>) -> Option<Routing> {
        let at = self.services.iter().position(|one| one.name() == service)?;
        let mut snapshots = self.snapshots.clone();
        let place = snapshots.get_mut(at).filter(|known| !Arc::ptr_eq(known, snapshot))?;
        *place = Arc::clone(snapshot);
        Some(Routing {
            configuration: self.configuration,
            routes: Arc::clone(&self.routes),
            services: Arc::clone(&self.services),
            snapshots,
            splits: Arc::clone(&self.splits),
        })
    }

    /// The same with other splits.
    pub(super) fn with_splits(&self, splits: Splits) -> Routing {
        Routing {
            configuration: self.configuration,
            routes: splits.joined(),
            services: Arc::clone(&self.services),
            snapshots: self.snapshots.clone(),
            splits: Arc::new(splits),
        }
    }
}

/// The newest routing. Reading waits for nobody, and of several who change it none is lost.
#[derive(Debug, Default)]
pub(super) struct Published {
    routing: Arc<ArcSwap<Routing>>,
}

impl Published {
    /// The newest one.
    pub(super) fn load(&self) -> Arc<Routing> {
        self.routing.load_full()
    }

    /// A cache of it for one worker.
    pub(super) fn cache(&self) -> RoutingCache {
        RoutingCache::new(Arc::clone(&self.routing))
    }

    /// Publishes what `change` makes of the newest one, if it makes another. Where somebody else was
    /// faster it is asked anew.
    pub(super) fn change<T>(&self, change: impl Fn(&Routing) -> (Option<Routing>, T)) -> T {
        loop {
            let now = self.routing.load_full();
            let (next, result) = change(&now);
            let Some(next) = next else { return result };
            let before = self.routing.compare_and_swap(&now, Arc::new(next));
            if Arc::ptr_eq(&before, &now) {
                return result;
            }
        }
    }

    /// Publishes another snapshot of a service, if it is part of the routing.
    pub(super) fn put(&self, snapshot: &Arc<Snapshot>) {
        self.change(|routing| (routing.with(&snapshot.spec.name, snapshot), ()));
    }
}
