//! What operators want of a service, over what the configuration says.

use std::collections::{HashMap, HashSet};

use super::{Balancer, EndpointSpec, ServiceSpec};

/// What operators want of a service. All that is about a backend goes by its address, so that it
/// stays when the configuration changes, and ends with the backend.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    /// In place of the configured one.
    pub(super) balancer: Option<Balancer>,
    /// By key; backends that operators have no wishes for are not in it.
    backends: HashMap<String, Override>,
    /// Addresses that operators added, in that order.
    added: Vec<String>,
}

/// What operators want of one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Override {
    pub(super) weight: Option<u32>,
    pub(super) drained: bool,
    removed: bool,
}

/// A backend as it is to be, all layers joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) address: String,
    pub(super) weight: u32,
    pub(super) drained: bool,
}

/// What an address is known by: host names do not care for case.
pub(super) fn key(address: &str) -> String {
    address.to_ascii_lowercase()
}

impl Overrides {
    /// What is wanted of the backend of this key.
    pub(super) fn of(&mut self, key: String) -> &mut Override {
        self.backends.entry(key).or_default()
    }

    /// More backends; they may be some that the configuration has and operators had removed.
    pub(super) fn add(&mut self, spec: &ServiceSpec, backends: &[EndpointSpec]) {
        let configured: HashSet<_> = spec.endpoints.iter().map(|e| key(&e.address)).collect();
        for backend in backends {
            let key = key(&backend.address);
            if !configured.contains(&key) {
                self.added.push(backend.address.clone());
            }
            let weight = Some(backend.weight);
            self.backends.insert(key, Override { weight, ..Override::default() });
        }
    }

    /// Fewer backends, with all that was wanted of them.
    pub(super) fn remove(&mut self, spec: &ServiceSpec, addresses: &[String]) {
        let gone: HashSet<_> = addresses.iter().map(|address| key(address)).collect();
        self.added.retain(|address| !gone.contains(&key(address)));
        for key in gone {
            self.backends.insert(key, Override { removed: true, ..Override::default() });
        }
        self.prune(spec); // of those that only operators knew, nothing stays
    }

    /// Forgets what is about backends that are gone.
    pub(super) fn prune(&mut self, spec: &ServiceSpec) {
        let configured = spec.endpoints.iter().map(|endpoint| &endpoint.address);
        let known: HashSet<_> = configured.chain(&self.added).map(|address| key(address)).collect();
        self.backends.retain(|key, _| known.contains(key));
    }

    /// The backends as they are to be: those of the configuration in its order, then those added.
    pub(super) fn join(&self, spec: &ServiceSpec) -> Vec<Wanted> {
        let mut seen = HashSet::new();
        let added = self.added.iter().map(|address| (address, 1));
        let configured = spec.endpoints.iter().map(|e| (&e.address, e.weight));
        let all = configured.chain(added);
        all.filter_map(|(address, weight)| {
            let key = key(address);
            let wish = self.backends.get(&key).copied().unwrap_or_default();
            (!wish.removed && seen.insert(key)).then(|| Wanted {
                address: address.clone(),
                weight: wish.weight.unwrap_or(weight),
                drained: wish.drained,
            })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(endpoints: &[(&str, u32)]) -> ServiceSpec {
        let endpoint = |(address, weight): &(&str, u32)| EndpointSpec {
            address: (*address).into(),
            weight: *weight,
        };
        ServiceSpec {
            name: "orders".into(),
            protocol: Default::default(),
            balancer: Balancer::new(Balancer::policy("round_robin").unwrap(), vec![]).unwrap(),
            endpoints: endpoints.iter().map(endpoint).collect(),
            streams: Vec::new(),
            preconnect: 0,
            upstream: Default::default(),
        }
    }

    fn add(overrides: &mut Overrides, spec: &ServiceSpec, address: &str, weight: u32) {
        overrides.add(spec, &[EndpointSpec { address: address.into(), weight }]);
    }

    fn joined(overrides: &Overrides, spec: &ServiceSpec) -> Vec<(String, u32)> {
        let wanted = overrides.join(spec).into_iter();
        wanted.map(|backend| (backend.address, backend.weight)).collect()
    }

    #[test]
    fn what_was_added_stays_whatever_the_configuration_has() {
        let (before, after) = (spec(&[("a:1", 1)]), spec(&[("a:1", 1), ("B:1", 5)]));
        let mut overrides = Overrides::default();
        add(&mut overrides, &before, "b:1", 7);
        assert_eq!(joined(&overrides, &before), [("a:1".into(), 1), ("b:1".into(), 7)]);
        overrides.prune(&after);
        assert_eq!(joined(&overrides, &after), [("a:1".into(), 1), ("B:1".into(), 7)]);
        overrides.prune(&before);
        assert_eq!(joined(&overrides, &before), [("a:1".into(), 1), ("b:1".into(), 7)]);
        overrides.remove(&before, &["b:1".into()]);
        assert_eq!(joined(&overrides, &before), [("a:1".into(), 1)]);
        assert!(overrides.backends.is_empty());
    }

    #[test]
    fn what_was_removed_stays_away_until_the_configuration_drops_it_too() {
        let (with, without) = (spec(&[("a:1", 1), ("b:1", 2)]), spec(&[("a:1", 1)]));
        let mut overrides = Overrides::default();
        overrides.remove(&with, &["B:1".into()]);
        overrides.prune(&with);
        assert_eq!(joined(&overrides, &with), [("a:1".into(), 1)]);
        overrides.prune(&without);
        assert_eq!(joined(&overrides, &with), [("a:1".into(), 1), ("b:1".into(), 2)]);
    }

    #[test]
    fn a_backend_that_is_added_again_begins_anew() {
        let spec = spec(&[("a:1", 1), ("b:1", 2)]);
        let mut overrides = Overrides::default();
        overrides.of("b:1".into()).drained = true;
        overrides.remove(&spec, &["b:1".into()]);
        add(&mut overrides, &spec, "b:1", 9);
        let [_, b] = &overrides.join(&spec)[..] else { panic!("two") };
        assert_eq!((b.weight, b.drained), (9, false));
        assert!(overrides.added.is_empty(), "the configuration has it");
    }
}
