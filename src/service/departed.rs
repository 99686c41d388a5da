//! Removed services, retained until their last counts have been scraped. One that is configured
//! again meanwhile continues its counters, so that they never go back.

use std::sync::{Arc, Weak};

use dashmap::DashMap;

use super::past::{Departure, Retention};
use super::{Counted, Service, ServiceCounts, ServiceView};
use crate::clock::Clock;
use crate::model::Time;

/// What is retained of a removed service.
#[derive(Debug)]
struct Kept {
    /// The service itself, while requests still use it.
    service: Weak<Service>,
    counts: Arc<ServiceCounts>,
    /// Its final view, in which all backends are removed.
    last: Arc<ServiceView>,
    left: Departure,
}

/// Removed services by name.
#[derive(Debug)]
pub(super) struct Departed {
    retention: Arc<Retention>,
    clock: Clock,
    services: DashMap<String, Kept>,
}

impl Departed {
    /// Creates an empty set.
    pub(super) fn new(retention: Arc<Retention>, clock: Clock) -> Departed {
        Departed { retention, clock, services: DashMap::default() }
    }

    /// Retains a service that is removed now.
    pub(super) fn keep(&self, service: &Arc<Service>) {
        self.forget(self.clock.now());
        let last = Arc::new(service.view().departed());
        // A service without backends counts against the limit too.
        let left = self.retention.depart(last.past.len().max(1), self.clock.now());
        let (counts, at) = (Arc::clone(service.counts()), Arc::downgrade(service));
        let kept = Kept { service: at, counts, last, left };
        self.services.insert(service.name().to_owned(), kept);
    }

    /// Counters and final view of the removed service of this name.
    pub(super) fn find(&self, name: &str) -> Option<(Arc<ServiceCounts>, Arc<ServiceView>)> {
        self.forget(self.clock.now());
        let kept = self.services.get(name)?;
        Some((Arc::clone(&kept.counts), Arc::clone(&kept.last)))
    }

    /// Drops those that are configured again.
    pub(super) fn release(&self, is_back: impl Fn(&str) -> bool) {
        self.services.retain(|name, _| !is_back(name));
    }

    /// All retained services: with their current view while requests use them, then with the final.
    pub(super) fn list(&self) -> Vec<Counted> {
        self.forget(self.clock.now());
        let counted = |kept: &Kept| match kept.service.upgrade() {
            Some(service) => service.view(),
            None => Arc::clone(&kept.last),
        };
        let each = self.services.iter().map(|kept| Counted {
            name: kept.key().as_str().into(),
            counts: Arc::clone(&kept.counts),
            view: counted(&kept),
        });
        each.collect()
    }

    fn forget(&self, now: Time) {
        self.services.retain(|_, kept| {
            if let Some(service) = kept.service.upgrade() {
                kept.last = Arc::new(service.view().departed());
                kept.left = self.retention.postpone(now);
                return true;
            }
            !self.retention.is_over(kept.left, now)
        });
    }
}
