//! Services that the configuration has no more, for as long as what they counted last may not have
//! been scraped: as their backends do that were removed, they go on if they come back.

use std::sync::{Arc, Weak};

use dashmap::DashMap;

use super::past::{Departure, Retention};
use super::{Counted, Service, ServiceCounts, ServiceView};
use crate::clock::Clock;
use crate::model::Time;

/// What is kept of a service that has gone.
#[derive(Debug)]
struct Kept {
    /// The service itself, as long as requests hold on to it.
    service: Weak<Service>,
    counts: Arc<ServiceCounts>,
    /// It with all of its backends gone.
    last: Arc<ServiceView>,
    left: Departure,
}

/// The services that have gone, by name.
#[derive(Debug)]
pub(super) struct Departed {
    retention: Arc<Retention>,
    clock: Clock,
    services: DashMap<String, Kept>,
}

impl Departed {
    /// None so far.
    pub(super) fn new(retention: Arc<Retention>, clock: Clock) -> Departed {
        Departed { retention, clock, services: DashMap::default() }
    }

    /// Keeps one that goes now.
    pub(super) fn keep(&self, service: &Arc<Service>) {
        self.forget(self.clock.now());
        let last = Arc::new(service.view().departed());
        // One without backends takes a place too.
        let left = self.retention.depart(last.past.len().max(1), self.clock.now());
        let (counts, at) = (Arc::clone(service.counts()), Arc::downgrade(service));
        let kept = Kept { service: at, counts, last, left };
        self.services.insert(service.name().to_owned(), kept);
    }

    /// What there is of the service of this name to go on with.
    pub(super) fn find(&self, name: &str) -> Option<(Arc<ServiceCounts>, Arc<ServiceView>)> {
        self.forget(self.clock.now());
        let kept = self.services.get(name)?;
        Some((Arc::clone(&kept.counts), Arc::clone(&kept.last)))
    }

    /// Forgets those that are back, as `is_back` says.
    pub(super) fn release(&self, is_back: impl Fn(&str) -> bool) {
        self.services.retain(|name, _| !is_back(name));
    }

    /// Those that are kept: as they are while requests hold on to them, and then as they were.
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
