//! The services by name, for cold paths, and the routing that the data path reads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use dashmap::DashMap;

use super::{Rejections, Routing, RoutingCache, Service, SplitChange, SplitError, Stamp};

/// All services, and where requests go. The data path has a cache of the routing for each
/// worker and never looks up a name.
#[derive(Debug)]
pub struct Registry {
    services: DashMap<String, Arc<Service>>,
    /// Those that are gone from the routing, as long as requests hold on to them.
    leaving: DashMap<String, Weak<Service>>,
    routing: Arc<ArcSwap<Routing>>,
    /// Requests of routes that lead to no service.
    rejections: Rejections,
    /// The highest revision of any service that is gone.
    retired_at: AtomicU64,
}

/// For requests that one worker carries.
impl Default for Registry {
    fn default() -> Registry {
        Registry::new(1)
    }
}

impl Registry {
    /// No services yet, and no routes, for this many workers.
    pub fn new(workers: usize) -> Registry {
        Registry {
            services: DashMap::default(),
            leaving: DashMap::default(),
            routing: Arc::default(),
            rejections: Rejections::new(workers),
            retired_at: AtomicU64::default(),
        }
    }

    /// Makes `routing` the one by which every later request goes, beside what operators want of its
    /// splits, and its services all there are.
    pub fn publish(&self, routing: Routing) {
        let Routing { routes, services, .. } = routing;
        for service in &services {
            self.services.insert(service.name().to_owned(), Arc::clone(service));
        }
        let names: HashSet<_> = services.iter().map(|service| service.name()).collect();
        let before = self.routing.rcu(|now| {
            let splits = now.splits.reconfigured(Arc::clone(&routes));
            Routing { routes: splits.joined(), services: services.clone(), splits }
        });
        self.routing.load().splits.log_since(&before.splits);
        self.services.retain(|name, service| {
            let stays = names.contains(&**name);
            if !stays {
                self.leaving.insert(name.clone(), Arc::downgrade(service));
            }
            stays
        });
        self.leaving.retain(|_, service| service.strong_count() > 0);
    }

    /// Changes the split of a route, and says its new revision once every later request goes by it.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn change_split(
        &self,
        route: &str,
        change: &SplitChange,
        expected: Option<u64>,
        stamp: &Stamp,
    ) -> Result<u64, SplitError> {
        loop {
            let now = self.routing.load_full();
            let (splits, revision) = now.splits.changed(route, change, expected, stamp)?;
            let (routes, services) = (splits.joined(), now.services.clone());
            let next = Arc::new(Routing { routes, services, splits });
            let before = self.routing.compare_and_swap(&now, next);
            if Arc::ptr_eq(&before, &now) {
                return Ok(revision);
            }
        }
    }

    /// Ends the services of `before` that are gone: they take no changes any more.
    pub async fn retire(&self, before: &Routing) {
        for service in &before.services {
            if !self.services.contains_key(service.name()) {
                self.retired_at.fetch_max(service.retire().await, Ordering::Relaxed);
            }
        }
    }

    /// With what a new service is to begin: if it is one that came back, whoever expects a
    /// revision of the earlier one must be told so.
    pub fn first_revision(&self) -> u64 {
        self.retired_at.load(Ordering::Relaxed) + 1
    }

    /// Requests that the gateway refused on routes that lead to no service.
    pub fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    /// The newest routing.
    pub fn routing(&self) -> Arc<Routing> {
        self.routing.load_full()
    }

    /// A cache of the routing for one worker.
    pub fn routing_cache(&self) -> RoutingCache {
        RoutingCache::new(Arc::clone(&self.routing))
    }

    /// The service of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Service>> {
        self.services.get(name).map(|entry| Arc::clone(&entry))
    }

    /// All services, sorted by name.
    pub fn list(&self) -> Vec<Arc<Service>> {
        sorted(self.services.iter().map(|entry| Arc::clone(&entry)).collect())
    }

    /// All services, and those that are gone but have not finished, unless others have taken
    /// their names.
    pub fn list_with_leaving(&self) -> Vec<Arc<Service>> {
        let mut services = self.list();
        let leaving = self.leaving.iter().filter_map(|entry| entry.upgrade());
        services.extend(leaving.filter(|service| !self.services.contains_key(service.name())));
        sorted(services)
    }
}

fn sorted(mut services: Vec<Arc<Service>>) -> Vec<Arc<Service>> {
    services.sort_unstable_by(|a, b| a.name().cmp(b.name()));
    services
}
