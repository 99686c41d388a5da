//! Overrides by operators, on top of the configured membership and policy.

mod prune;

use std::collections::HashMap;
use std::sync::Arc;

use super::ejection::ManualEjection;
use super::membership::{Intent, Layer};
use super::{Balancer, OverrideKind, OverrideView, Setting};
use crate::discovery::Discovered;
use crate::model::{Address, Time};
use crate::overrides::{self, Edit, Expiry, Field, FieldChange, Provenance, TooDeep, Value};
pub(super) use prune::{Awaited, Present};

/// Overrides by operators. Those of a backend are keyed by its address: they survive a reload, and
/// end when the backend is no longer configured. Those of a backend that a registry tells of are
/// bound to its instance, and outlive its absence for a while.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    policy: Option<(Wanted, Option<Balancer>)>,
    /// Only backends with an override.
    backends: HashMap<Address, Backend>,
    /// When the next override is over.
    next_expiry: Option<Time>,
}

/// What operators want of a field.
type Wanted = Arc<overrides::Setting>;

/// Overrides of one backend.
#[derive(Clone, Debug, Default, PartialEq)]
struct Backend {
    member: Option<Wanted>,
    weight: Option<Wanted>,
    drain: Option<Wanted>,
    eject: Option<Wanted>,
    /// Since when the registry does not have it.
    gone_since: Option<Time>,
}

/// Who sets fields, by which revision, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp<'a> {
    pub(super) provenance: &'a Provenance,
    pub(super) revision: u64,
    pub(super) now: Time,
    pub(super) until: Option<Expiry>,
    /// What the registry says of backends.
    pub(super) registered: &'a HashMap<Address, Arc<Discovered>>,
}

impl Stamp<'_> {
    fn instance(&self, field: &Field) -> Option<Arc<str>> {
        self.registered.get(field.backend()?)?.instance.clone()
    }
}

impl Backend {
    fn place(&mut self, field: &Field) -> Option<&mut Option<Wanted>> {
        match field {
            Field::Member(_) => Some(&mut self.member),
            Field::Weight(_) => Some(&mut self.weight),
            Field::Drain(_) => Some(&mut self.drain),
            Field::Eject(_) => Some(&mut self.eject),
            Field::Policy | Field::Share(_) => None,
        }
    }

    /// All that is set, as fields of the backend at `address`.
    fn fields<'a>(&'a self, address: &Address) -> impl Iterator<Item = (Field, &'a Wanted)> {
        let at = || address.clone();
        let all = [
            (Field::Member(at()), &self.member),
            (Field::Weight(at()), &self.weight),
            (Field::Drain(at()), &self.drain),
            (Field::Eject(at()), &self.eject),
        ];
        all.into_iter().filter_map(|(field, wanted)| Some((field, wanted.as_ref()?)))
    }

    fn wanted(&self) -> impl Iterator<Item = &Wanted> {
        [&self.member, &self.weight, &self.drain, &self.eject].into_iter().flatten()
    }

    /// When the next one of its overrides is over.
    fn next_expiry(&self) -> Option<Time> {
        let ends = self.wanted().filter_map(|wanted| wanted.until).map(|until| until.at);
        ends.chain(self.gone_since.map(|since| since + prune::KEEP_GONE)).min()
    }

    fn weight(&self) -> Option<u32> {
        match value(&self.weight)? {
            Value::Weight(weight) => Some(*weight),
            _ => None,
        }
    }

    /// The weight that it was added with, if it was added.
    fn added(&self) -> Option<u32> {
        match value(&self.member)? {
            Value::Added(weight) => Some(*weight),
            _ => None,
        }
    }

    fn is_removed(&self) -> bool {
        value(&self.member) == Some(&Value::Removed)
    }

    /// Whether it is added, or will be when something else is over.
    fn can_be_added(&self) -> bool {
        let mut chain = self.member.iter().flat_map(|wanted| wanted.chain());
        chain.any(|setting| matches!(setting.value, Some(Value::Added(_))))
    }

    /// The place among the backends that were added.
    fn order(&self) -> (u64, u32) {
        self.member.as_ref().map_or((0, 0), |member| member.place)
    }

    /// The intent of operators.
    fn intent(&self) -> Intent {
        let (added, removed) = (self.added(), self.is_removed().then_some(false));
        Intent {
            present: removed.or(added.map(|_| true)),
            weight: self.weight().or(added),
            drained: value(&self.drain).is_some().then_some(true),
            terminating: None,
        }
    }
}

fn value(wanted: &Option<Wanted>) -> Option<&Value> {
    wanted.as_ref()?.value.as_ref()
}

impl Overrides {
    /// What an earlier process has left, without what is over by `now`.
    pub(super) fn restored(settings: Vec<(Field, Wanted)>, now: Time) -> Overrides {
        let mut overrides = Overrides::default();
        for (field, wanted) in settings {
            overrides.replace(&field, wanted.live(now));
        }
        overrides.settle();
        overrides
    }

    /// The overriding balancer.
    pub(super) fn balancer(&self) -> Option<&Balancer> {
        self.policy.as_ref()?.1.as_ref()
    }

    /// When the requests in flight at a drained backend are cut off, if at all.
    pub(super) fn drain_deadline(&self, address: &Address) -> Option<Time> {
        match value(&self.backends.get(address)?.drain)? {
            Value::Drained { deadline } => *deadline,
            _ => None,
        }
    }

    /// The ejection of a backend.
    pub(super) fn ejected(&self, address: &Address) -> Option<ManualEjection> {
        let wanted = self.backends.get(address)?.eject.as_ref()?;
        let ejected = wanted.value.is_some();
        let until = wanted.until.map(|until| until.at);
        ejected.then_some(ManualEjection { since: wanted.since, until })
    }

    /// Applies edits in order, and returns those that have changed something. On an error some are
    /// applied; discard the overrides.
    pub(super) fn edit(
        &mut self,
        edits: &[Edit],
        stamp: Stamp<'_>,
    ) -> Result<Vec<FieldChange>, TooDeep> {
        let Stamp { provenance, revision, now, until, .. } = stamp;
        let mut changes = Vec::new();
        for (place, edit) in (0..).zip(edits) {
            let from = self.get(&edit.field);
            let stamped = overrides::Setting {
                value: None,
                provenance: provenance.clone(),
                since: now,
                revision,
                place: (revision, place),
                until,
                under: None,
                instance: stamp.instance(&edit.field),
            };
            let to = overrides::edited(from.as_ref(), edit, stamped, now)?;
            if from.is_none() && to.is_none() {
                continue;
            }
            self.replace(&edit.field, to.clone());
            changes.push(FieldChange { field: edit.field.clone(), from, to });
        }
        self.settle();
        Ok(changes)
    }

    /// What is set of a field.
    fn get(&self, field: &Field) -> Option<Wanted> {
        if *field == Field::Policy {
            return self.policy.as_ref().map(|(wanted, _)| Arc::clone(wanted));
        }
        let backend = self.backends.get(field.backend()?)?;
        backend.clone().place(field).and_then(|wanted| wanted.take())
    }

    fn replace(&mut self, field: &Field, wanted: Option<Wanted>) {
        if *field == Field::Policy {
            self.policy = wanted.map(|wanted| {
                let balancer = wanted.value.as_ref().and_then(prune::balancer);
                (wanted, balancer)
            });
            return;
        }
        let Some(address) = field.backend() else { return };
        if let Some(place) = self.backends.entry(address.clone()).or_default().place(field) {
            *place = wanted;
        }
    }

    /// Every field that is set, backends in no order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (Field, &Wanted)> {
        let policy = self.policy.iter().map(|(wanted, _)| (Field::Policy, wanted));
        policy.chain(self.backends.iter().flat_map(|(address, backend)| backend.fields(address)))
    }

    /// The backends with an override.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.backends.keys()
    }

    /// The fields of one backend that are set.
    pub(super) fn fields_of(&self, address: &Address) -> Vec<Field> {
        let backend = self.backends.get(address).into_iter();
        backend.flat_map(|backend| backend.fields(address)).map(|(field, _)| field).collect()
    }

    /// When the next override is over.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.next_expiry
    }

    /// Ends what is over at `now`; what lies below it is back.
    pub(super) fn expire(&mut self, now: Time) -> Vec<FieldChange> {
        if self.next_expiry.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let over = |wanted: &Wanted| wanted.until.is_some_and(|until| until.is_over(now));
        let changes = self.fields().filter(|(_, wanted)| over(wanted)).map(|(field, wanted)| {
            FieldChange { field, from: Some(Arc::clone(wanted)), to: wanted.live(now) }
        });
        let changes: Vec<FieldChange> = changes.collect();
        for FieldChange { field, to, .. } in &changes {
            self.replace(field, to.clone());
        }
        self.settle();
        changes
    }

    /// The backends that were added, in that order.
    fn added(&self) -> Vec<(&Address, &Backend)> {
        let added = self.backends.iter().filter(|(_, backend)| backend.added().is_some());
        let mut added: Vec<_> = added.collect();
        added.sort_unstable_by_key(|(_, backend)| backend.order());
        added
    }

    /// The overrides of backends as the topmost layer of the membership.
    pub(super) fn layer(&self) -> Layer {
        let rest = self.backends.iter().filter(|(_, backend)| backend.added().is_none());
        let all = self.added().into_iter().chain(rest);
        all.map(|(address, backend)| (address.clone(), backend.intent())).collect()
    }

    /// Lists all overrides, with the configured values from `balancer` and `below`.
    pub(super) fn list(&self, balancer: &Balancer, below: &Layer) -> Vec<OverrideView> {
        let mut all = Vec::new();
        if let Some((wanted, Some(value))) = &self.policy {
            all.push(OverrideView {
                kind: OverrideKind::Policy,
                backend: String::new(),
                configured: Some(Setting::Policy(balancer.clone())),
                value: Some(Setting::Policy(value.clone())),
                provenance: wanted.provenance.clone(),
                until: wanted.until.map(|until| until.wall),
            });
        }
        let later = self.added().into_iter().filter(|(address, _)| below.get(address).is_none());
        let later: Vec<_> = later.map(|(address, _)| (address, None)).collect();
        let known = below.iter().map(|(address, intent)| (address, intent.weight));
        for (address, configured) in known.chain(later) {
            let Some(backend) = self.backends.get(address) else { continue };
            let mut note = |kind, wanted: &Option<Wanted>, value: Option<u32>| {
                let Some(wanted) = wanted.as_ref().filter(|it| it.value.is_some()) else { return };
                all.push(OverrideView {
                    kind,
                    backend: address.to_string(),
                    configured: configured.map(Setting::Weight),
                    value: value.map(Setting::Weight),
                    provenance: wanted.provenance.clone(),
                    until: wanted.until.map(|until| until.wall),
                });
            };
            let Backend { member, weight, drain, eject, .. } = backend;
            if let Some(weight) = backend.added() {
                note(OverrideKind::Add, member, Some(weight));
            }
            note(OverrideKind::Weight, weight, backend.weight());
            note(OverrideKind::Drain, drain, None);
            note(OverrideKind::Eject, eject, None);
            if backend.is_removed() {
                note(OverrideKind::Remove, member, None);
            }
        }
        all
    }

    /// After edits: drops what is empty, and finds out what is over next.
    fn settle(&mut self) {
        self.backends.retain(|_, backend| backend.wanted().next().is_some());
        let policy = self.policy.as_ref().and_then(|(wanted, _)| wanted.until);
        let backends = self.backends.values().filter_map(Backend::next_expiry);
        self.next_expiry = backends.chain(policy.map(|until| until.at)).min();
    }
}

#[cfg(test)]
mod tests {
    use super::super::EndpointSpec;
    use super::super::change::{Change, ChangeContext};
    use super::super::membership::merge;
    use super::super::override_view::OverrideChanges;
    use super::*;
    use crate::overrides::Author;

    fn at(address: &str) -> Address {
        Address::parse(address).unwrap()
    }

    fn spec(endpoints: &[(&str, u32)]) -> Layer {
        Layer::of(endpoints.iter().map(|(address, weight)| (at(address), *weight)))
    }

    /// Applies a change as an operator's.
    fn apply(overrides: &mut Overrides, below: &Layer, change: &Change) -> Vec<FieldChange> {
        let members = merge([below, &overrides.layer()]);
        let backends: Vec<_> = members.iter().map(|(address, _)| address).collect();
        let log = crate::overrides::ChangeLog::default();
        let before = overrides.clone();
        let current = ChangeContext {
            service: "orders",
            below,
            backends: &backends,
            overrides: &before,
            log: &log,
            now: Time::ZERO,
        };
        let edits = change.edits(current).unwrap();
        let provenance = Provenance::now(&Author::from("test"));
        let stamp = Stamp {
            provenance: &provenance,
            revision: 2,
            now: Time::ZERO,
            until: None,
            registered: &HashMap::new(),
        };
        let mut fields = overrides.edit(&edits, stamp).unwrap();
        fields.extend(Present::prune(below, overrides));
        fields
    }

    fn add(overrides: &mut Overrides, below: &Layer, address: &str, weight: u32) {
        let spec = EndpointSpec { address: address.into(), weight };
        apply(overrides, below, &Change::Add(vec![spec]));
    }

    fn remove(overrides: &mut Overrides, below: &Layer, address: &str) {
        apply(overrides, below, &Change::Remove(vec![address.into()]));
    }

    fn drain(overrides: &mut Overrides, below: &Layer, address: &str) {
        apply(overrides, below, &Change::Drain { address: address.into(), timeout: None });
    }

    fn list(overrides: &Overrides, below: &Layer) -> Vec<OverrideView> {
        let balancer = Balancer::new(Balancer::policy("round_robin").unwrap(), vec![]).unwrap();
        overrides.list(&balancer, below)
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
        Present::prune(&after, &mut overrides);
        assert_eq!(merged(&overrides, &after), [("a:1".into(), 1), ("B:1".into(), 7)]);
        Present::prune(&before, &mut overrides);
        assert_eq!(merged(&overrides, &before), [("a:1".into(), 1), ("b:1".into(), 7)]);
        remove(&mut overrides, &before, "b:1");
        assert_eq!(merged(&overrides, &before), [("a:1".into(), 1)]);
        assert!(overrides.backends.is_empty());
    }

    #[test]
    fn what_was_removed_stays_away_until_the_configuration_drops_it_too() {
        let (with, without) = (spec(&[("a:1", 1), ("b:1", 2)]), spec(&[("a:1", 1)]));
        let mut overrides = Overrides::default();
        remove(&mut overrides, &with, "B:1");
        Present::prune(&with, &mut overrides);
        assert_eq!(merged(&overrides, &with), [("a:1".into(), 1)]);
        Present::prune(&without, &mut overrides);
        assert_eq!(merged(&overrides, &with), [("a:1".into(), 1), ("b:1".into(), 2)]);
    }

    #[test]
    fn a_backend_that_is_added_again_begins_anew() {
        let spec = spec(&[("a:1", 1), ("b:1", 2)]);
        let mut overrides = Overrides::default();
        drain(&mut overrides, &spec, "b:1");
        remove(&mut overrides, &spec, "b:1");
        add(&mut overrides, &spec, "b:1", 9);
        let [_, (_, b)] = &merge([&spec, &overrides.layer()])[..] else { panic!("two") };
        assert_eq!((b.weight, b.drained), (9, false));
        assert!(overrides.added().is_empty(), "the configuration has it");
    }

    /// The overrides as the log shows them.
    fn told(overrides: &Overrides, below: &Layer) -> Vec<String> {
        list(overrides, below).iter().map(|one| one.to_string().replace(", by test", "")).collect()
    }

    #[test]
    fn every_override_is_told_beside_what_is_configured() {
        let before = spec(&[("a:1", 1), ("b:1", 2), ("C:1", 3)]);
        let mut overrides = Overrides::default();
        apply(&mut overrides, &before, &Change::SetWeights([("a:1".into(), 80)].into()));
        drain(&mut overrides, &before, "a:1");
        remove(&mut overrides, &before, "c:1");
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
        Present::prune(&after, &mut pruned);
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

        let all = ["A:1", "c:1", "D:1"].map(String::from).to_vec();
        apply(&mut overrides, &before, &Change::Reset(all));
        assert!(list(&overrides, &before).is_empty());
        assert_eq!(merged(&overrides, &before).len(), 3);
    }
}
