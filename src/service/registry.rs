//! The services by name, for cold paths, and the routing that the data path reads.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use dashmap::DashMap;

use super::departed::Departed;
use super::past::Retention;
use super::{
    Author, Beginning, ChangeRecord, CountSettings, Rejections, Routing, RoutingCache, Service,
    ServiceCounts, ServiceView, SplitChange, SplitError, Stamp, Subject,
};
use crate::clock::Clock;

/// All services, and where requests go. The data path has a cache of the routing for each
/// worker and never looks up a name.
#[derive(Debug)]
pub struct Registry {
    services: DashMap<String, Arc<Service>>,
    departed: Departed,
    retention: Arc<Retention>,
    workers: usize,
    settings: CountSettings,
    routing: Arc<ArcSwap<Routing>>,
    /// Requests of routes that lead to no service.
    rejections: Rejections,
    /// The highest revision of any service that is gone.
    retired_at: AtomicU64,
}

/// A service as metrics tell of it.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The name.
    pub name: Arc<str>,
    /// What it counts beside its backends.
    pub counts: Arc<ServiceCounts>,
    /// Its backends.
    pub view: Arc<ServiceView>,
}

impl Counted {
    fn of(service: &Service) -> Counted {
        let (name, counts) = (service.name().into(), Arc::clone(service.counts()));
        Counted { name, counts, view: service.view() }
    }
}

impl Registry {
    /// No services yet, and no routes, for this many workers, by this clock.
    pub fn new(workers: usize, settings: CountSettings, clock: Clock) -> Registry {
        let retention = Arc::new(Retention::new(settings.keep_removed));
        Registry {
            services: DashMap::default(),
            departed: Departed::new(Arc::clone(&retention), clock),
            retention,
            workers,
            settings,
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
                self.departed.keep(service);
            }
            stays
        });
        self.departed.release(|name| names.contains(name));
    }

    /// Changes the split of a route, and says its new revision once every later request goes by it.
    /// No change goes without its record.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn change_split(
        &self,
        route: &str,
        change: &SplitChange,
        expected: Option<u64>,
        by: &Author,
    ) -> Result<u64, SplitError> {
        let (stamp, subject) = (Stamp::now(by), Subject::route(route));
        loop {
            let now = self.routing.load_full();
            let changed = now.splits.changed(route, change, expected, &stamp);
            let (splits, revision) = changed.inspect_err(|error| {
                let (stamp, subject, error) = (stamp.clone(), subject.clone(), error.to_string());
                let revision = now.splits.configured().get(route);
                let revision = revision.map(|_| now.splits.revision(route));
                ChangeRecord::refused(stamp, subject, change, &error, revision).log();
            })?;
            let difference = now.splits.difference(route, &splits);
            let (routes, services) = (splits.joined(), now.services.clone());
            let next = Arc::new(Routing { routes, services, splits });
            let before = self.routing.compare_and_swap(&now, next);
            if Arc::ptr_eq(&before, &now) {
                ChangeRecord::made(stamp, subject, change, difference, revision).log();
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

    /// What a new service of this name is to begin with. If it is one that came back, it goes on
    /// counting where the earlier one ended, but whoever expects a revision of that must be told.
    pub fn beginning(&self, name: &str) -> Beginning {
        let revision = self.retired_at.load(Ordering::Relaxed) + 1;
        let retention = Arc::clone(&self.retention);
        let (counts, past) = match self.departed.find(name) {
            Some((counts, last)) => (counts, last.past.clone()),
            None => (Arc::new(ServiceCounts::new(self.workers, &self.settings)), Vec::new()),
        };
        Beginning { revision, counts, past, retention }
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
        let mut services: Vec<_> = self.services.iter().map(|entry| Arc::clone(&entry)).collect();
        services.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        services
    }

    /// All services, and those that are gone but whose counts are kept, by name.
    pub fn counted(&self) -> Vec<Counted> {
        let departed = self.departed.list();
        let mut counted: Vec<_> = self.services.iter().map(|entry| Counted::of(&entry)).collect();
        let here: HashSet<_> = counted.iter().map(|service| Arc::clone(&service.name)).collect();
        counted.extend(departed.into_iter().filter(|service| !here.contains(&service.name)));
        counted.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        counted
    }
}
