//! Registry of services by name, and publication of the routing that the data path reads.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::sync::watch;

use super::removed_services::RemovedServices;
use super::retention::Retention;
use super::routing::RoutingCell;
use super::{
    Author, ChangeRecord, CounterSettings, InitialState, Provenance, Rejections, Routing,
    RoutingCache, Service, ServiceCounters, ServiceView, SplitChange, SplitError, StagedService,
    Subject,
};
use crate::clock::Clock;
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
        let retention = Arc::new(Retention::new(settings.keep_removed));
        Registry {
            services: DashMap::default(),
            removed: RemovedServices::new(Arc::clone(&retention), clock),
            retention,
            workers,
            settings,
            routing: Arc::default(),
            rejections: Rejections::new(workers),
            retired_revision: AtomicU64::default(),
        }
    }

    /// Publishes routes and staged services in one atomic swap, keeping the overrides. Routes refer to
    /// services by index.
    pub async fn publish(&self, routes: Arc<RouteTable>, staged: Vec<StagedService>) {
        let services: Arc<[_]> = staged.iter().map(|staged| Arc::clone(&staged.service)).collect();
        services.iter().for_each(|service| service.attach(&self.routing));
        let names: HashSet<_> = services.iter().map(|service| service.name()).collect();
        let (before, now) = self.routing.update(|now| {
            let (before, configuration) = (Arc::clone(&now.splits), now.configuration + 1);
            let splits = Arc::new(before.reconfigured(Arc::clone(&routes)));
            let (routes, snapshots) =
                (splits.effective_routes(), staged.iter().map(StagedService::snapshot).collect());
            let (services, after) = (Arc::clone(&services), Arc::clone(&splits));
            (Some(Routing { configuration, routes, services, snapshots, splits }), (before, after))
        });
        // New services can be found, and so changed, only after the routing has them.
        for service in &*services {
            self.services.insert(service.name().to_owned(), Arc::clone(service));
        }
        for staged in staged {
            staged.commit().await;
        }
        now.log_since(&before);
        self.services.retain(|name, service| {
            let stays = names.contains(&**name);
            if !stays {
                self.removed.insert(service);
            }
            stays
        });
        self.removed.drop_restored(|name| names.contains(name));
    }

    /// Changes the split of a route and returns its new revision, once it is in effect. Every change,
    /// refused ones included, is logged.
    ///
    /// # Errors
    /// The change was refused; nothing has changed.
    pub fn change_split(
        &self,
        route: &str,
        change: &SplitChange,
        expected: Option<u64>,
        by: &Author,
    ) -> Result<u64, SplitError> {
        let (provenance, subject) = (Provenance::now(by), Subject::route(route));
        let (before, changed) = self.routing.update(|now| {
            let before = Arc::clone(&now.splits);
            match before.changed(route, change, expected, &provenance) {
                Ok((splits, revision)) => {
                    let difference = before.difference(route, &splits);
                    (Some(now.with_splits(splits)), (before, Ok((difference, revision))))
                }
                Err(error) => (None, (before, Err(error))),
            }
        });
        match changed {
            Ok((difference, revision)) => {
                ChangeRecord::made(provenance, subject, change, difference, revision).log();
                Ok(revision)
            }
            Err(error) => {
                let known = before.configured().get(route);
                let revision = known.map(|_| before.revision(route));
                let text = error.to_string();
                ChangeRecord::refused(provenance, subject, change, &text, revision).log();
                Err(error)
            }
        }
    }

    /// Retires the services of `before` that are no longer configured: they refuse changes.
    pub async fn retire(&self, before: &Routing) {
        for service in &*before.services {
            if !self.services.contains_key(service.name()) {
                self.retired_revision.fetch_max(service.retire().await, Ordering::Relaxed);
            }
        }
    }

    /// Initial state of a service of this name. One that was removed and is configured again continues
    /// its counters. Its revision is above that of any removed service, so that a change which expects
    /// an earlier revision is refused.
    pub fn initial_state(&self, name: &str) -> InitialState {
        let revision = self.retired_revision.load(Ordering::Relaxed) + 1;
        let retention = Arc::clone(&self.retention);
        let (counts, removed) = match self.removed.get(name) {
            Some((counts, last)) => (counts, last.removed.clone()),
            None => (Arc::new(ServiceCounters::new(self.workers, &self.settings)), Vec::new()),
        };
        InitialState { revision, counts, removed, retention }
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
