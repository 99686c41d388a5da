//! Registry of services by name, and publication of the routing that the data path reads.

mod changes;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::sync::{Mutex, watch};

use super::removed_services::RemovedServices;
use super::retention::Retention;
use super::routing::RoutingCell;
use super::{
    CounterSettings, InitialState, Rejections, Routing, RoutingCache, Service, ServiceCounters,
    ServiceView, StagedService,
};
use crate::clock::Clock;
use crate::overrides::{Memory, Store, Subject};
use crate::route::RouteTable;

/// Registry of all services, and the published routing. Names are looked up on cold paths only: the
/// data path has a cache of the routing for each worker.
#[derive(Debug)]
pub struct Registry {
    services: DashMap<String, Arc<Service>>,
    removed: RemovedServices,
    retention: Arc<Retention>,
    workers: usize,
    settings: CounterSettings,
    routing: Arc<RoutingCell>,
    /// Rejections on routes that lead to no service.
    rejections: Rejections,
    /// The highest revision of any removed service.
    retired_revision: AtomicU64,
    /// Keeps what operators change.
    store: Arc<dyn Store>,
    /// Held while splits change, by operators or by a configuration.
    splits: Mutex<()>,
    clock: Clock,
}

/// A service as the metrics exporter sees it, removed ones included.
#[derive(Clone, Debug)]
pub struct ServiceMetrics {
    /// The name.
    pub name: Arc<str>,
    /// Counters, apart from those of its endpoints.
    pub counts: Arc<ServiceCounters>,
    /// View with its backends.
    pub view: Arc<ServiceView>,
}

impl ServiceMetrics {
    fn of(service: &Service) -> ServiceMetrics {
        let (name, counts) = (service.name().into(), Arc::clone(service.counts()));
        ServiceMetrics { name, counts, view: service.view() }
    }
}

impl Registry {
    /// Creates a registry without services and routes.
    pub fn new(workers: usize, settings: CounterSettings, clock: Clock) -> Registry {
        Registry::with_store(workers, settings, clock, Arc::new(Memory))
    }

    /// As [`Registry::new`]; `store` keeps what operators change, and has what they changed before.
    pub fn with_store(
        workers: usize,
        settings: CounterSettings,
        clock: Clock,
        store: Arc<dyn Store>,
    ) -> Registry {
        let retention = Arc::new(Retention::new(settings.keep_removed));
        Registry {
            services: DashMap::default(),
            removed: RemovedServices::new(Arc::clone(&retention), clock),
            retention,
            workers,
            settings,
            routing: changes::restored_routing(&*store),
            rejections: Rejections::new(workers),
            retired_revision: AtomicU64::new(store.retired().service),
            store,
            splits: Mutex::default(),
            clock,
        }
    }

    /// Publishes routes and staged services in one atomic swap, keeping the overrides. Routes refer to
    /// services by index.
    pub async fn publish(&self, routes: Arc<RouteTable>, staged: Vec<StagedService>) {
        let services: Arc<[_]> = staged.iter().map(|staged| Arc::clone(&staged.service)).collect();
        services.iter().for_each(|service| service.attach(&self.routing));
        let names: HashSet<_> = services.iter().map(|service| service.name()).collect();
        let one_at_a_time = self.splits.lock().await;
        let (before, now, ended, is_first) = self.routing.update(|now| {
            let (before, configuration) = (Arc::clone(&now.splits), now.configuration + 1);
            let (splits, ended) = before.reconfigured(Arc::clone(&routes), self.clock.now());
            let splits = Arc::new(splits);
            let (routes, snapshots) =
                (splits.effective_routes(), staged.iter().map(StagedService::snapshot).collect());
            let (services, after) = (Arc::clone(&services), Arc::clone(&splits));
            let routing = Routing { configuration, routes, services, snapshots, splits };
            (Some(routing), (before, after, ended, configuration == 1))
        });
        // New services can be found, and so changed, only after the routing has them.
        for service in &*services {
            self.services.insert(service.name().to_owned(), Arc::clone(service));
        }
        for staged in staged {
            staged.commit().await;
        }
        now.log_since(&before);
        self.keep_end(ended).await;
        drop(one_at_a_time);
        if is_first {
            self.end_unconfigured().await;
        }
        self.services.retain(|name, service| {
            let stays = names.contains(&**name);
            if !stays {
                self.removed.insert(service);
            }
            stays
        });
        self.removed.drop_restored(|name| names.contains(name));
    }

    /// Retires the services of `before` that are no longer configured: they refuse changes.
    pub async fn retire(&self, before: &Routing) {
        for service in &*before.services {
            if !self.services.contains_key(service.name()) {
                let revision = service.retire().await;
                self.retired_revision.fetch_max(revision, Ordering::Relaxed);
                self.keep_gone(&Subject::service(service.name()), revision).await;
            }
        }
    }

    /// Initial state of a service of this name. One that was removed and is configured again continues
    /// its counters. Its revision is above that of any removed service, so that a change which expects
    /// an earlier revision is refused.
    pub fn initial_state(&self, name: &str) -> InitialState {
        let kept = self.store.take_kept(&Subject::service(name));
        let fresh = self.retired_revision.load(Ordering::Relaxed) + 1;
        let revision = kept.as_ref().map_or(fresh, |kept| kept.revision);
        let (store, retention) = (Arc::clone(&self.store), Arc::clone(&self.retention));
        let (counts, removed) = match self.removed.get(name) {
            Some((counts, last)) => (counts, last.removed.clone()),
            None => (Arc::new(ServiceCounters::new(self.workers, &self.settings)), Vec::new()),
        };
        InitialState { revision, counts, removed, retention, kept, store }
    }

    /// Rejections on routes that lead to no service.
    pub fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    /// The newest routing.
    pub fn routing(&self) -> Arc<Routing> {
        self.routing.load()
    }

    /// Notifies of every change of the routing from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.routing.changes()
    }

    /// A cache of the routing for one worker.
    pub fn routing_cache(&self) -> RoutingCache {
        self.routing.cache()
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

    /// All services and retained removed ones, sorted by name.
    pub fn metrics(&self) -> Vec<ServiceMetrics> {
        let removed = self.removed.list();
        let mut metrics: Vec<_> =
            self.services.iter().map(|entry| ServiceMetrics::of(&entry)).collect();
        let here: HashSet<_> = metrics.iter().map(|service| Arc::clone(&service.name)).collect();
        metrics.extend(removed.into_iter().filter(|service| !here.contains(&service.name)));
        metrics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        metrics
    }
}
