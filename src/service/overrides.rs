//! Overrides by operators, on top of the configured membership and policy.

use std::collections::{HashMap, HashSet};

use super::ejection::ManualEjection;
use super::membership::{Intent, Layer};
use super::{Balancer, OverrideKind, OverrideView, Provenance, Setting};
use crate::model::{Address, Time};

/// Overrides by operators. Those of a backend are keyed by its address: they survive a reload, and
/// end when the backend is no longer configured.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    /// Overrides the configured balancer.
    balancer: Option<(Balancer, Provenance)>,
    /// Only backends with an override.
    backends: HashMap<Address, Override>,
    /// Backends that operators added, in that order.
    added: Vec<Added>,
}

/// Overrides of one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Override {
    weight: Option<(u32, Provenance)>,
    drained: Option<Drained>,
    ejected: Option<(ManualEjection, Provenance)>,
    removed: Option<Provenance>,
}

/// Override that drains a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Drained {
    provenance: Provenance,
    /// When its requests in flight are cut off, if at all.
    deadline: Option<Time>,
}

/// A backend that operators added.
#[derive(Clone, Debug)]
struct Added {
    address: Address,
    weight: u32,
    provenance: Provenance,
}

impl Overrides {
    /// The overriding balancer.
    pub(super) fn balancer(&self) -> Option<&Balancer> {
        self.balancer.as_ref().map(|(balancer, _)| balancer)
    }

    /// Overrides the balancer; `None` restores the configured one.
    pub(super) fn set_balancer(&mut self, balancer: Option<Balancer>, provenance: &Provenance) {
        self.balancer = balancer.map(|balancer| (balancer, provenance.clone()));
    }

    /// Overrides a weight.
    pub(super) fn set_weight(&mut self, address: &Address, weight: u32, provenance: &Provenance) {
        self.entry(address).weight = Some((weight, provenance.clone()));
    }

    /// Drains a backend; its requests in flight are cut off at `deadline`, if any. Draining it again
    /// changes the deadline, but not the author or time.
    pub(super) fn drain(
        &mut self,
        address: &Address,
        deadline: Option<Time>,
        provenance: &Provenance,
    ) {
        let entry = &mut self.entry(address).drained;
        let provenance =
            entry.take().map_or_else(|| provenance.clone(), |before| before.provenance);
        *entry = Some(Drained { provenance, deadline });
    }

    /// Undrains a backend.
    pub(super) fn undrain(&mut self, address: &Address) {
        self.entry(address).drained = None;
        self.drop_empty();
    }

    /// When the requests in flight at a drained backend are cut off, if at all.
    pub(super) fn drain_deadline(&self, address: &Address) -> Option<Time> {
        self.backends.get(address)?.drained.as_ref()?.deadline
    }

    /// Ejects a backend, or ends its ejection.
    pub(super) fn eject(
        &mut self,
        address: &Address,
        ejected: Option<ManualEjection>,
        provenance: &Provenance,
    ) {
        self.entry(address).ejected = ejected.map(|ejected| (ejected, provenance.clone()));
        self.drop_empty();
    }

    /// The ejection of a backend.
    pub(super) fn ejected(&self, address: &Address) -> Option<ManualEjection> {
        let ejected = self.backends.get(address)?.ejected.as_ref()?;
        Some(ejected.0)
    }

    /// Drops ejections that have expired at `now`.
    pub(super) fn expire(&mut self, now: Time) {
        for entry in self.backends.values_mut() {
            let until = entry.ejected.as_ref().and_then(|(ejected, _)| ejected.until);
            entry.ejected.take_if(|_| until.is_some_and(|until| until <= now));
        }
        self.drop_empty();
    }

    /// Adds backends, or restores configured ones that operators had removed.
    pub(super) fn add(
        &mut self,
        below: &Layer,
        backends: &[(Address, u32)],
        provenance: &Provenance,
    ) {
        for (address, weight) in backends {
            let known = below.get(address).is_some();
            let (weight, provenance) = (*weight, provenance.clone());
            let weighted = known.then(|| (weight, provenance.clone()));
            let fresh = Override { weight: weighted, ..Override::default() };
            self.backends.insert(address.clone(), fresh);
            if !known {
                self.added.push(Added { address: address.clone(), weight, provenance });
            }
        }
        self.drop_empty();
    }

    /// Removes backends and their other overrides.
    pub(super) fn remove(&mut self, below: &Layer, addresses: &[Address], provenance: &Provenance) {
        self.forget(addresses);
        for address in addresses {
            self.entry(address).removed = Some(provenance.clone());
        }
        self.prune(below); // a backend that only operators had added needs no override
    }

    /// Drops all overrides of these backends.
    pub(super) fn forget(&mut self, addresses: &[Address]) {
        let gone: HashSet<_> = addresses.iter().collect();
        self.added.retain(|added| !gone.contains(&added.address));
        self.backends.retain(|address, _| !gone.contains(address));
    }

    /// Drops overrides of backends that are neither configured nor added.
    pub(super) fn prune(&mut self, below: &Layer) {
        let added: HashSet<_> = self.added.iter().map(|added| &added.address).collect();
        self.backends.retain(|address, _| below.get(address).is_some() || added.contains(address));
    }

    /// The overrides of backends as the topmost layer of the membership.
    pub(super) fn layer(&self) -> Layer {
        let added = self.added.iter().map(|added| {
            let entry = self.backends.get(&added.address);
            (added.address.clone(), intent(entry, Some(added.weight)))
        });
        let added: Layer = added.collect();
        let rest = self.backends.iter().filter(|(address, _)| added.get(address).is_none());
        let rest = rest.map(|(address, entry)| (address.clone(), intent(Some(entry), None)));
        let rest: Vec<_> = rest.collect();
        added.iter().map(|(address, intent)| (address.clone(), intent)).chain(rest).collect()
    }

    /// Lists all overrides, with the configured values from `balancer` and `below`.
    pub(super) fn list(&self, balancer: &Balancer, below: &Layer) -> Vec<OverrideView> {
        let mut all = Vec::new();
        if let Some((value, provenance)) = &self.balancer {
            all.push(OverrideView {
                kind: OverrideKind::Policy,
                backend: String::new(),
                configured: Some(Setting::Policy(balancer.clone())),
                value: Some(Setting::Policy(value.clone())),
                provenance: provenance.clone(),
            });
        }
        for BackendOverrides { address, configured, added, entry } in self.known(below) {
            let mut note = |kind, value: Option<u32>, provenance: &Provenance| {
                all.push(OverrideView {
                    kind,
                    backend: address.to_string(),
                    configured: configured.map(Setting::Weight),
                    value: value.map(Setting::Weight),
                    provenance: provenance.clone(),
                });
            };
            if let Some(Added { weight, provenance, .. }) = added {
                note(OverrideKind::Add, Some(*weight), provenance);
            }
            let Some(Override { weight, drained, ejected, removed }) = entry else { continue };
            weight
                .iter()
                .for_each(|(to, provenance)| note(OverrideKind::Weight, Some(*to), provenance));
            drained.iter().for_each(|it| note(OverrideKind::Drain, None, &it.provenance));
            ejected.iter().for_each(|(_, provenance)| note(OverrideKind::Eject, None, provenance));
            removed.iter().for_each(|provenance| note(OverrideKind::Remove, None, provenance));
        }
        all
    }

    /// Every backend that is configured or added, once.
    fn known<'a>(&'a self, below: &'a Layer) -> impl Iterator<Item = BackendOverrides<'a>> {
        let added = self.added.iter().map(|added| (&added.address, added));
        let added: HashMap<&Address, &Added> = added.collect();
        let later = self.added.iter().map(|added| &added.address);
        let later = later.filter(|address| below.get(address).is_none());
        let known = below.iter().map(|(address, intent)| (address, intent.weight));
        known.chain(later.map(|address| (address, None))).map(move |(address, configured)| {
            let (entry, added) = (self.backends.get(address), added.get(address).copied());
            BackendOverrides { address, configured, added, entry }
        })
    }

    fn entry(&mut self, address: &Address) -> &mut Override {
        self.backends.entry(address.clone()).or_default()
    }

    fn drop_empty(&mut self) {
        self.backends.retain(|_, entry| *entry != Override::default());
    }
}

/// The intent of operators for a backend, which they may have `added` with this weight.
fn intent(entry: Option<&Override>, added: Option<u32>) -> Intent {
    let is = |test: fn(&Override) -> bool| entry.is_some_and(test);
    let weight = entry.and_then(|entry| entry.weight.as_ref()).map(|(weight, _)| *weight);
    let removed = is(|entry| entry.removed.is_some()).then_some(false);
    Intent {
        present: removed.or(added.map(|_| true)),
        weight: weight.or(added),
        drained: is(|entry| entry.drained.is_some()).then_some(true),
        terminating: None,
    }
}

/// Configured weight and overrides of a backend.
struct BackendOverrides<'a> {
    address: &'a Address,
    configured: Option<u32>,
    added: Option<&'a Added>,
    entry: Option<&'a Override>,
}

#[cfg(test)]
mod tests {
    use super::super::membership::merge;
    use super::super::override_view::OverrideChanges;
    use super::*;

    fn at(address: &str) -> Address {
        Address::parse(address).unwrap()
    }

    fn spec(endpoints: &[(&str, u32)]) -> Layer {
        Layer::of(endpoints.iter().map(|(address, weight)| (at(address), *weight)))
    }

    fn add(overrides: &mut Overrides, below: &Layer, address: &str, weight: u32) {
        overrides.add(below, &[(at(address), weight)], &provenance());
    }

    fn list(overrides: &Overrides, below: &Layer) -> Vec<OverrideView> {
        let balancer = Balancer::new(Balancer::policy("round_robin").unwrap(), vec![]).unwrap();
        overrides.list(&balancer, below)
    }

    fn provenance() -> Provenance {
        Provenance::now(&"test".into())
    }

    fn merged(overrides: &Overrides, below: &Layer) -> Vec<(String, u32)> {
        let merged = merge([below, &overrides.layer()]).into_iter();
        merged.map(|(address, intent)| (address.to_string(), intent.weight)).collect()
    }

    #[test]
    fn what_was_added_stays_whatever_the_configuration_has() {
        let (before, after) = (spec(&[("a:1", 1)]), spec(&[("a:1", 1), ("B:1", 5)]));
        let mut overrides = Overrides::default();
        add(&mut overrides, &before, "b:1", 7);
        assert_eq!(merged(&overrides, &before), [("a:1".into(), 1), ("b:1".into(), 7)]);
        overrides.prune(&after);
        assert_eq!(merged(&overrides, &after), [("a:1".into(), 1), ("B:1".into(), 7)]);
        overrides.prune(&before);
        assert_eq!(merged(&overrides, &before), [("a:1".into(), 1), ("b:1".into(), 7)]);
        overrides.remove(&before, &[at("b:1")], &provenance());
        assert_eq!(merged(&overrides, &before), [("a:1".into(), 1)]);
        assert!(overrides.backends.is_empty());
    }

    #[test]
    fn what_was_removed_stays_away_until_the_configuration_drops_it_too() {
        let (with, without) = (spec(&[("a:1", 1), ("b:1", 2)]), spec(&[("a:1", 1)]));
        let mut overrides = Overrides::default();
        overrides.remove(&with, &[at("B:1")], &provenance());
        overrides.prune(&with);
        assert_eq!(merged(&overrides, &with), [("a:1".into(), 1)]);
        overrides.prune(&without);
        assert_eq!(merged(&overrides, &with), [("a:1".into(), 1), ("b:1".into(), 2)]);
    }

    #[test]
    fn a_backend_that_is_added_again_begins_anew() {
        let spec = spec(&[("a:1", 1), ("b:1", 2)]);
        let mut overrides = Overrides::default();
        overrides.drain(&at("b:1"), None, &provenance());
        overrides.remove(&spec, &[at("b:1")], &provenance());
        add(&mut overrides, &spec, "b:1", 9);
        let [_, (_, b)] = &merge([&spec, &overrides.layer()])[..] else { panic!("two") };
        assert_eq!((b.weight, b.drained), (9, false));
        assert!(overrides.added.is_empty(), "the configuration has it");
    }

    /// The overrides as the log shows them.
    fn told(overrides: &Overrides, below: &Layer) -> Vec<String> {
        list(overrides, below).iter().map(|one| one.to_string().replace(", by test", "")).collect()
    }

    #[test]
    fn every_override_is_told_beside_what_is_configured() {
        let before = spec(&[("a:1", 1), ("b:1", 2), ("C:1", 3)]);
        let mut overrides = Overrides::default();
        overrides.set_weight(&at("a:1"), 80, &provenance());
        overrides.drain(&at("a:1"), None, &provenance());
        overrides.remove(&before, &[at("c:1")], &provenance());
        add(&mut overrides, &before, "d:1", 5);
        let expected = [
            "a:1 has weight 80, configured is weight 1",
            "a:1 is drained, configured is weight 1",
            "C:1 is removed, configured is weight 3",
            "d:1 was added with weight 5, configured is nothing",
        ];
        assert_eq!(told(&overrides, &before), expected);

        let after = spec(&[("A:1", 7), ("d:1", 9)]);
        let (old, mut pruned) = (list(&overrides, &before), overrides.clone());
        pruned.prune(&after);
        let new = list(&pruned, &after);
        let OverrideChanges { base_changed, ended } = OverrideChanges::between(&old, &new);
        let told = |list: &[&OverrideView]| {
            list.iter().map(|one| (one.kind, one.backend.clone())).collect::<Vec<_>>()
        };
        let named = |kind, backend: &str| (kind, backend.to_owned());
        use OverrideKind::{Add, Drain, Remove, Weight};
        assert_eq!(
            told(&base_changed),
            [named(Weight, "A:1"), named(Drain, "A:1"), named(Add, "d:1")]
        );
        assert_eq!(told(&ended), [named(Remove, "C:1")]);

        overrides.forget(&[at("A:1"), at("c:1"), at("D:1")]);
        assert!(list(&overrides, &before).is_empty());
        assert_eq!(merged(&overrides, &before).len(), 3);
    }
}
