//! Routing as one immutable value: route table, services, snapshots and splits.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{Service, Snapshot, Splits};
use crate::model::Time;
use crate::route::RouteTable;

/// Immutable routing; a reload or a change of a service builds a new one. A request uses one, so
/// that its route and snapshots are consistent.
#[derive(Debug, Default)]
pub struct Routing {
    /// Number of the configuration that the routes and services are from; the first is 1.
    pub configuration: u64,
    /// Route table; routes refer to services by index.
    pub routes: Arc<RouteTable>,
    /// Services by that index.
    pub services: Arc<[Arc<Service>]>,
    /// Their newest snapshots by that index.
    pub snapshots: Box<[Arc<Snapshot>]>,
    /// Traffic splits of the routes, with their overrides.
    pub splits: Arc<Splits>,
}

/// A worker's cached reference to the newest routing; `load` costs one comparison of pointers.
pub type RoutingCache = arc_swap::Cache<Arc<ArcSwap<Routing>>, Arc<Routing>>;

impl Routing {
    /// With another snapshot of a service. `None` if the service is unknown or has this snapshot.
    fn with_snapshot(&self, service: &str, snapshot: &Arc<Snapshot>) -> Option<Routing> {
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

    /// When the next override of a split is over.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.splits.next_expiry()
    }

    /// With other splits.
    pub(super) fn with_splits(&self, splits: Splits) -> Routing {
        Routing {
            configuration: self.configuration,
            routes: splits.effective_routes(),
            services: Arc::clone(&self.services),
            snapshots: self.snapshots.clone(),
            splits: Arc::new(splits),
        }
    }
}

/// Cell of the newest routing (RCU): reads are wait-free, and concurrent updates are not lost.
#[derive(Debug, Default)]
pub(super) struct RoutingCell {
    routing: Arc<ArcSwap<Routing>>,
    changes: watch::Sender<()>,
}

impl RoutingCell {
    /// The newest routing.
    pub(super) fn load(&self) -> Arc<Routing> {
        self.routing.load_full()
    }

    /// A cache for one worker.
    pub(super) fn cache(&self) -> RoutingCache {
        RoutingCache::new(Arc::clone(&self.routing))
    }

    /// Notifies of every change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Compare-and-swap loop: publishes the routing that `change` derives from the newest one, if any.
    /// Calls `change` again when another update came between.
    pub(super) fn update<T>(&self, change: impl Fn(&Routing) -> (Option<Routing>, T)) -> T {
        loop {
            let now = self.routing.load_full();
            let (next, result) = change(&now);
            let Some(next) = next else { return result };
            let before = self.routing.compare_and_swap(&now, Arc::new(next));
            if Arc::ptr_eq(&before, &now) {
                self.changes.send_replace(());
                return result;
            }
        }
    }

    /// Publishes a snapshot of a service, if the service is part of the routing.
    pub(super) fn publish_snapshot(&self, snapshot: &Arc<Snapshot>) {
        self.update(|routing| (routing.with_snapshot(&snapshot.spec.name, snapshot), ()));
    }
}
