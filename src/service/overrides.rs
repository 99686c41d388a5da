//! What operators want of a service, over what the configuration says.

use std::collections::{HashMap, HashSet};

use super::{Balancer, EndpointSpec, Overridden, OverrideKind, ServiceSpec, Setting, Stamp};
use crate::model::address;

/// What operators want of a service. All that is about a backend goes by its address, so that it
/// stays when the configuration changes, and ends with the backend.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    /// In place of the configured one.
    balancer: Option<(Balancer, Stamp)>,
    /// By key; backends that operators have no wishes for are not in it.
    backends: HashMap<String, Override>,
    /// What operators added, in that order.
    added: Vec<Added>,
}

/// What operators want of one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Override {
    weight: Option<(u32, Stamp)>,
    drained: Option<Stamp>,
    removed: Option<Stamp>,
}

/// A backend that operators added.
#[derive(Clone, Debug)]
struct Added {
    address: String,
    weight: u32,
    stamp: Stamp,
}

/// A backend as it is to be, all layers joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) address: String,
    pub(super) weight: u32,
    pub(super) drained: bool,
}

/// What an address is known by.
pub(super) fn key(address: &str) -> String {
    address::identity(address)
}

impl Overrides {
    /// In place of the configured balancer.
    pub(super) fn balancer(&self) -> Option<&Balancer> {
        self.balancer.as_ref().map(|(balancer, _)| balancer)
    }

    /// Another balancer, or the configured one.
    pub(super) fn set_balancer(&mut self, balancer: Option<Balancer>, stamp: &Stamp) {
        self.balancer = balancer.map(|balancer| (balancer, stamp.clone()));
    }

    /// Another weight.
    pub(super) fn set_weight(&mut self, address: &str, weight: u32, stamp: &Stamp) {
        self.of(address).weight = Some((weight, stamp.clone()));
    }

    /// No new requests, or again. Who is drained once more stays drained since then.
    pub(super) fn drain(&mut self, address: &str, drained: bool, stamp: &Stamp) {
        let wish = &mut self.of(address).drained;
        *wish = drained.then(|| wish.take().unwrap_or_else(|| stamp.clone()));
        self.tidy();
    }

    /// More backends; they may be some that the configuration has and operators had removed.
    pub(super) fn add(&mut self, spec: &ServiceSpec, backends: &[EndpointSpec], stamp: &Stamp) {
        let configured: HashSet<_> = spec.endpoints.iter().map(|e| key(&e.address)).collect();
        for EndpointSpec { address, weight } in backends {
            let key = key(address);
            let known = configured.contains(&key);
            let (address, weight, stamp) = (address.clone(), *weight, stamp.clone());
            let weighted = known.then(|| (weight, stamp.clone()));
            self.backends.insert(key, Override { weight: weighted, ..Override::default() });
            if !known {
                self.added.push(Added { address, weight, stamp });
            }
        }
        self.tidy();
    }

    /// Fewer backends, with all that was wanted of them.
    pub(super) fn remove(&mut self, spec: &ServiceSpec, addresses: &[String], stamp: &Stamp) {
        self.forget(addresses);
        for address in addresses {
            self.of(address).removed = Some(stamp.clone());
        }
        self.prune(spec); // of those that only operators knew, nothing stays
    }

    /// Nothing is wanted of these backends any more.
    pub(super) fn forget(&mut self, addresses: &[String]) {
        let gone: HashSet<_> = addresses.iter().map(|address| key(address)).collect();
        self.added.retain(|added| !gone.contains(&key(&added.address)));
        self.backends.retain(|key, _| !gone.contains(key));
    }

    /// Forgets what is about backends that are gone.
    pub(super) fn prune(&mut self, spec: &ServiceSpec) {
        let configured = spec.endpoints.iter().map(|endpoint| &endpoint.address);
        let added = self.added.iter().map(|added| &added.address);
        let known: HashSet<_> = configured.chain(added).map(|address| key(address)).collect();
        self.backends.retain(|key, _| known.contains(key));
    }

    /// The backends as they are to be: those of the configuration in its order, then those added.
    pub(super) fn join(&self, spec: &ServiceSpec) -> Vec<Wanted> {
        let backend = |known: Known<'_>| {
            let weighted = known.wish.and_then(|wish| wish.weight.as_ref());
            let added = known.added.map(|added| added.weight);
            let weight = weighted.map(|(weight, _)| *weight).or(added).or(known.configured);
            let is = |wanted: fn(&Override) -> bool| known.wish.is_some_and(wanted);
            (!is(|wish| wish.removed.is_some())).then(|| Wanted {
                address: known.address.into(),
                weight: weight.unwrap_or(1),
                drained: is(|wish| wish.drained.is_some()),
            })
        };
        self.known(spec).filter_map(backend).collect()
    }

    /// All of them, beside what `spec` says.
    pub(super) fn list(&self, spec: &ServiceSpec) -> Vec<Overridden> {
        let mut all = Vec::new();
        if let Some((balancer, stamp)) = &self.balancer {
            all.push(Overridden {
                kind: OverrideKind::Policy,
                backend: String::new(),
                configured: Some(Setting::Policy(spec.balancer.clone())),
                wanted: Some(Setting::Policy(balancer.clone())),
                stamp: stamp.clone(),
            });
        }
        for Known { address, configured, added, wish } in self.known(spec) {
            let mut note = |kind, wanted: Option<u32>, stamp: &Stamp| {
                all.push(Overridden {
                    kind,
                    backend: address.into(),
                    configured: configured.map(Setting::Weight),
                    wanted: wanted.map(Setting::Weight),
                    stamp: stamp.clone(),
                });
            };
            if let Some(Added { weight, stamp, .. }) = added {
                note(OverrideKind::Add, Some(*weight), stamp);
            }
            let Some(Override { weight, drained, removed }) = wish else { continue };
            weight.iter().for_each(|(to, stamp)| note(OverrideKind::Weight, Some(*to), stamp));
            drained.iter().for_each(|stamp| note(OverrideKind::Drain, None, stamp));
            removed.iter().for_each(|stamp| note(OverrideKind::Remove, None, stamp));
        }
        all
    }

    /// Every backend that the configuration or operators know, once.
    fn known<'a>(&'a self, spec: &'a ServiceSpec) -> impl Iterator<Item = Known<'a>> {
        let added = self.added.iter().map(|added| (key(&added.address), added));
        let added: HashMap<String, &Added> = added.collect();
        let configured = spec.endpoints.iter().map(|e| (&*e.address, Some(e.weight)));
        let later = self.added.iter().map(|added| (&*added.address, None));
        let mut seen = HashSet::new();
        configured.chain(later).filter_map(move |(address, configured)| {
            let key = key(address);
            let (wish, added) = (self.backends.get(&key), added.get(&key).copied());
            seen.insert(key).then_some(Known { address, configured, added, wish })
        })
    }

    fn of(&mut self, address: &str) -> &mut Override {
        self.backends.entry(key(address)).or_default()
    }

    fn tidy(&mut self) {
        self.backends.retain(|_, wish| *wish != Override::default());
    }
}

/// What all layers say of a backend.
struct Known<'a> {
    address: &'a str,
    configured: Option<u32>,
    added: Option<&'a Added>,
    wish: Option<&'a Override>,
}

#[cfg(test)]
mod tests {
    use super::super::overridden::Covered;
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
        overrides.add(spec, &[EndpointSpec { address: address.into(), weight }], &stamp());
    }

    fn stamp() -> Stamp {
        Stamp::now("test")
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
        overrides.remove(&before, &["b:1".into()], &stamp());
        assert_eq!(joined(&overrides, &before), [("a:1".into(), 1)]);
        assert!(overrides.backends.is_empty());
    }

    #[test]
    fn what_was_removed_stays_away_until_the_configuration_drops_it_too() {
        let (with, without) = (spec(&[("a:1", 1), ("b:1", 2)]), spec(&[("a:1", 1)]));
        let mut overrides = Overrides::default();
        overrides.remove(&with, &["B:1".into()], &stamp());
        overrides.prune(&with);
        assert_eq!(joined(&overrides, &with), [("a:1".into(), 1)]);
        overrides.prune(&without);
        assert_eq!(joined(&overrides, &with), [("a:1".into(), 1), ("b:1".into(), 2)]);
    }

    #[test]
    fn a_backend_that_is_added_again_begins_anew() {
        let spec = spec(&[("a:1", 1), ("b:1", 2)]);
        let mut overrides = Overrides::default();
        overrides.drain("b:1", true, &stamp());
        overrides.remove(&spec, &["b:1".into()], &stamp());
        add(&mut overrides, &spec, "b:1", 9);
        let [_, b] = &overrides.join(&spec)[..] else { panic!("two") };
        assert_eq!((b.weight, b.drained), (9, false));
        assert!(overrides.added.is_empty(), "the configuration has it");
    }

    /// Kind, backend, what the configuration says and what is wanted.
    fn told(overrides: &Overrides, spec: &ServiceSpec) -> Vec<String> {
        let list = overrides.list(spec);
        list.iter().map(|one| one.to_string().replace(", by test", "")).collect()
    }

    #[test]
    fn every_override_is_told_beside_what_is_configured() {
        let before = spec(&[("a:1", 1), ("b:1", 2), ("C:1", 3)]);
        let mut overrides = Overrides::default();
        overrides.set_weight("a:1", 80, &stamp());
        overrides.drain("a:1", true, &stamp());
        overrides.remove(&before, &["c:1".into()], &stamp());
        add(&mut overrides, &before, "d:1", 5);
        let expected = [
            "a:1 has weight 80, configured is weight 1",
            "a:1 is drained, configured is weight 1",
            "C:1 is removed, configured is weight 3",
            "d:1 was added with weight 5, configured is nothing",
        ];
        assert_eq!(told(&overrides, &before), expected);

        let after = spec(&[("A:1", 7), ("d:1", 9)]);
        let (old, mut pruned) = (overrides.list(&before), overrides.clone());
        pruned.prune(&after);
        let new = pruned.list(&after);
        let Covered { anew, ended } = Covered::between(&old, &new);
        let told = |list: &[&Overridden]| {
            list.iter().map(|one| (one.kind, one.backend.clone())).collect::<Vec<_>>()
        };
        let named = |kind, backend: &str| (kind, backend.to_owned());
        use OverrideKind::{Add, Drain, Remove, Weight};
        assert_eq!(told(&anew), [named(Weight, "A:1"), named(Drain, "A:1"), named(Add, "d:1")]);
        assert_eq!(told(&ended), [named(Remove, "C:1")]);

        overrides.forget(&["A:1".into(), "c:1".into(), "D:1".into()]);
        assert!(overrides.list(&before).is_empty());
        assert_eq!(joined(&overrides, &before).len(), 3);
    }
}
