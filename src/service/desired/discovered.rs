//! Backends that a source tells of: a layer between configuration and overrides.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Backend, Desired};
use crate::clock::Clock;
use crate::discovery::{Discovered, DiscoveredSet, Subscription};
use crate::model::Time;
use crate::overrides::ChangeRecord;
use crate::service::membership::{Intent, Layer, united};

impl Backend {
    /// Whether a registry's backend at the same address is this one, and not a later one.
    pub(super) fn is_instance(&self, registered: Option<&Discovered>) -> bool {
        let instance = |it: Option<&Discovered>| it.and_then(|it| it.instance.clone());
        let (known, told) = (instance(self.registered.as_deref()), instance(registered));
        known == told || known.is_none() || told.is_none()
    }
}

impl Desired {
    /// Follows the source that the configuration names, with what is known from the one before.
    pub(super) fn with_source(mut self) -> Desired {
        let discover = self.configured.discover.as_ref();
        let known = self.source.as_deref();
        if known.map(|source| source.discover()) != discover {
            let watch = |discover| self.discovery.watch(&self.configured.name, discover, known);
            self.source = discover.map(watch).map(Arc::new);
        }
        self.with_registered()
    }

    /// Takes the newest set of the source; returns what of the overrides has ended with it, too.
    pub(in crate::service) fn discovered(&self) -> (Desired, Option<Arc<ChangeRecord>>) {
        let mut next = self.clone().with_registered();
        let ended = next.prune();
        (next.merged(), ended)
    }

    /// Reads the newest set, and unites it with the configured backends.
    fn with_registered(mut self) -> Desired {
        let set = self.source.as_ref().and_then(|source| source.current()).unwrap_or_default();
        let intent = |it: &Discovered| Intent {
            present: Some(true),
            weight: it.weight,
            drained: None,
            terminating: Some(it.terminating),
        };
        let layer: Layer = set.iter().map(|it| (it.address.clone(), intent(it))).collect();
        let registered: HashMap<_, _> =
            set.iter().map(|it| (it.address.clone(), Arc::clone(it))).collect();
        self.registered = Arc::new(registered);
        self.below = match self.members.is_empty() {
            true => Arc::new(layer),
            false => Arc::new(united([&*self.members, &layer])),
        };
        if !self.names.is_empty() {
            let places = self.places(&united([&*self.below, &self.overrides.layer()]));
            self.below = Arc::new(united([&*self.below, &places]));
        }
        self
    }
}

/// Waits until the source has another set than the one that is `applied`, and `at` has come.
pub(in crate::service) async fn another_set(
    source: Option<Arc<Subscription>>,
    applied: &Option<DiscoveredSet>,
    clock: Clock,
    at: Time,
) {
    let Some(source) = source else { return std::future::pending().await };
    let is_new = |set: &Option<DiscoveredSet>| match (set, applied) {
        (Some(set), Some(applied)) => !Arc::ptr_eq(set, applied),
        (set, _) => set.is_some(),
    };
    if source.sets().wait_for(is_new).await.is_err() {
        return std::future::pending().await; // the source has ended with its runtime
    }
    clock.sleep_until(at).await;
}
