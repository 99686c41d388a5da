//! The services by name, for cold paths, and the routing that the data path reads.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use dashmap::DashMap;

use super::{Routing, RoutingCache, Service};

/// All services, and where requests go. The data path has a cache of the routing for each
/// worker and never looks up a name.
#[derive(Debug, Default)]
pub struct Registry {
    services: DashMap<String, Arc<Service>>,
    /// Those that are gone from the routing, as long as requests hold on to them.
    leaving: DashMap<String, Weak<Service>>,
    routing: Arc<ArcSwap<Routing>>,
}

impl Registry {
    /// Makes `routing` the one by which every later request goes, and its services all there are.
    pub fn publish(&self, routing: Routing) {
        let routing = Arc::new(routing);
        for service in &routing.services {
            self.services.insert(service.name().to_owned(), Arc::clone(service));
        }
        self.routing.store(Arc::clone(&routing));
        let names: HashSet<_> = routing.services.iter().map(|service| service.name()).collect();
        self.services.retain(|name, service| {
            let stays = names.contains(&**name);
            if !stays {
                self.leaving.insert(name.clone(), Arc::downgrade(service));
            }
            stays
        });
        self.leaving.retain(|_, service| service.strong_count() > 0);
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
