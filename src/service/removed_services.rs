//! Removed services, retained until their last counts have been scraped. One that is configured
//! again meanwhile continues its counters, so that they never go back.

use std::sync::{Arc, Weak};

use dashmap::DashMap;

use super::retention::{Removal, Retention};
use super::{Service, ServiceCounters, ServiceMetrics, ServiceView};
use crate::clock::Clock;
use crate::model::Time;

/// What is retained of a removed service.
#[derive(Debug)]
struct RemovedService {
    /// The service itself, while requests still use it.
    service: Weak<Service>,
    counts: Arc<ServiceCounters>,
    /// Its final view, in which all backends are removed.
    final_view: Arc<ServiceView>,
    removal: Removal,
}

/// Removed services by name.
#[derive(Debug)]
pub(super) struct RemovedServices {
    retention: Arc<Retention>,
    clock: Clock,
    services: DashMap<String, RemovedService>,
}

impl RemovedServices {
    /// Creates an empty set.
    pub(super) fn new(retention: Arc<Retention>, clock: Clock) -> RemovedServices {
        RemovedServices { retention, clock, services: DashMap::default() }
    }

    /// Retains a service that is removed now.
    pub(super) fn insert(&self, service: &Arc<Service>) {
        self.drop_expired(self.clock.now());
        let final_view = Arc::new(service.view().final_view());
        // A service without backends counts against the limit too.
        let removal = self.retention.record(final_view.removed.len().max(1), self.clock.now());
        let (counts, at) = (Arc::clone(service.counts()), Arc::downgrade(service));
        let removed = RemovedService { service: at, counts, final_view, removal };
        self.services.insert(service.name().to_owned(), removed);
    }

    /// Counters and final view of the removed service of this name.
    pub(super) fn get(&self, name: &str) -> Option<(Arc<ServiceCounters>, Arc<ServiceView>)> {
        self.drop_expired(self.clock.now());
        let removed = self.services.get(name)?;
        Some((Arc::clone(&removed.counts), Arc::clone(&removed.final_view)))
    }

    /// Drops those that are configured again.
    pub(super) fn drop_restored(&self, is_back: impl Fn(&str) -> bool) {
        self.services.retain(|name, _| !is_back(name));
    }

    /// All retained services: with their current view while requests use them, then with the final.
    pub(super) fn list(&self) -> Vec<ServiceMetrics> {
        self.drop_expired(self.clock.now());
        let current_view = |removed: &RemovedService| match removed.service.upgrade() {
            Some(service) => service.view(),
            None => Arc::clone(&removed.final_view),
        };
        let each = self.services.iter().map(|removed| ServiceMetrics {
            name: removed.key().as_str().into(),
            counts: Arc::clone(&removed.counts),
            view: current_view(&removed),
        });
        each.collect()
    }

    fn drop_expired(&self, now: Time) {
        self.services.retain(|_, removed| {
            if let Some(service) = removed.service.upgrade() {
                removed.final_view = Arc::new(service.view().final_view());
                removed.removal = self.retention.postpone(now);
                return true;
            }
            !self.retention.is_expired(removed.removal, now)
        });
    }
}
