//! The end of overrides of what is there no more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Backend, Overrides};
use crate::discovery::Discovered;
use crate::model::{Address, Time};
use crate::overrides::{Field, FieldChange, Value};
use crate::service::Balancer;
use crate::service::membership::Layer;

/// How long overrides of a backend that a registry has told of outlive its absence.
pub(super) const KEEP_GONE: Duration = Duration::from_secs(10 * 60);

/// The backends that there are without overrides.
#[derive(Clone, Copy)]
pub(in crate::service) struct Present<'a> {
    /// Configured and discovered.
    pub(in crate::service) below: &'a Layer,
    /// What the registry says of them.
    pub(in crate::service) registered: &'a HashMap<Address, Arc<Discovered>>,
    /// Who else may come back.
    pub(in crate::service) awaited: Awaited,
}

/// Backends that are waited for while they are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Awaited {
    /// None: the configuration names all.
    Nobody,
    /// IP addresses: names may resolve to them again.
    Addresses,
    /// All: a registry may tell of them again.
    All,
}

#[cfg(test)]
impl Present<'_> {
    /// Ends overrides of all that is not configured.
    pub(in crate::service) fn prune(below: &Layer, overrides: &mut Overrides) -> Vec<FieldChange> {
        let registered = &HashMap::new();
        let present = Present { below, registered, awaited: Awaited::Nobody };
        overrides.prune(present, Time::ZERO)
    }
}

impl Backend {
    /// Whether another backend has come to its address.
    fn is_replaced(&self, registered: Option<&Arc<Discovered>>) -> bool {
        let Some(instance) = registered.and_then(|it| it.instance.as_ref()) else { return false };
        let mut bound = self.wanted().flat_map(|wanted| wanted.chain());
        bound.any(|setting| setting.instance.as_ref().is_some_and(|own| own != instance))
    }

    /// Whether its overrides end at `now`. One that only the registry lacks is waited for.
    fn has_ended(&mut self, address: &Address, present: Present<'_>, now: Time) -> bool {
        let Present { below, registered, awaited } = present;
        if self.is_replaced(registered.get(address)) {
            return true;
        }
        if below.get(address).is_some() || self.can_be_added() {
            self.gone_since = None;
            return false;
        }
        let is_awaited = match awaited {
            Awaited::Nobody => false,
            Awaited::Addresses => address.name().is_none() && !address.is_socket(),
            Awaited::All => true,
        };
        let since = *self.gone_since.get_or_insert(now);
        !is_awaited || since + KEEP_GONE <= now
    }
}

/// The balancer of a policy. None if this version of the gateway does not have it or its settings.
pub(super) fn balancer(value: &Value) -> Option<Balancer> {
    let Value::Policy { name, settings } = value else { return None };
    Balancer::new(Balancer::policy(name).ok()?, settings.clone()).ok()
}

impl Overrides {
    /// Ends overrides of backends that are neither configured nor added, those of discovered ones
    /// once they have been gone for a while or replaced by others, and a policy that this version of
    /// the gateway does not have.
    pub(in crate::service) fn prune(
        &mut self,
        present: Present<'_>,
        now: Time,
    ) -> Vec<FieldChange> {
        let mut ended = Vec::new();
        for (address, backend) in &mut self.backends {
            if backend.has_ended(address, present, now) {
                let fields = backend.fields(address);
                ended.extend(fields.map(|(field, from)| FieldChange {
                    field,
                    from: Some(Arc::clone(from)),
                    to: None,
                }));
            }
        }
        if let Some((wanted, None)) = &self.policy
            && wanted.value.is_some()
        {
            let from = Some(Arc::clone(wanted));
            ended.push(FieldChange { field: Field::Policy, from, to: None });
        }
        for change in &ended {
            self.replace(&change.field, None);
        }
        self.settle();
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::super::Stamp;
    use super::*;
    use crate::overrides::{Author, Edit, Provenance, Value};
    use crate::service::membership::Intent;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    /// A registry that has `a:1`, be it this instance.
    fn registered(instance: &str) -> HashMap<Address, Arc<Discovered>> {
        let found = Discovered::at("a:1").unwrap();
        let found = Discovered { instance: Some(instance.into()), ..found };
        [(found.address.clone(), found.into())].into()
    }

    #[test]
    fn overrides_of_what_a_registry_tells_of_outlive_it_for_ten_minutes() {
        let (there, gone) = (registered("pod-1"), HashMap::new());
        let address = Address::parse("a:1").unwrap();
        let intent = Intent { present: Some(true), ..Intent::default() };
        let (full, empty) = ([(address.clone(), intent)].into_iter().collect(), Layer::default());
        let mut overrides = Overrides::default();
        let provenance = Provenance::now(&Author::from("test"));
        let stamp = Stamp {
            provenance: &provenance,
            revision: 2,
            now: at(0),
            until: None,
            registered: &there,
        };
        let edit = Edit::to(Field::Weight(address), Some(Value::Weight(9)));
        overrides.edit(&[edit], stamp).unwrap();
        let mut prune = |below: &Layer, registered, now| {
            let present = Present { below, registered, awaited: Awaited::All };
            let ended = overrides.prune(present, at(now));
            (ended.len(), overrides.next_expiry())
        };
        assert_eq!(prune(&full, &there, 0), (0, None));
        assert_eq!(prune(&empty, &gone, 10), (0, Some(at(610))));
        assert_eq!(prune(&empty, &gone, 609), (0, Some(at(610))));
        assert_eq!(prune(&full, &there, 609), (0, None), "it is back");
        assert_eq!(prune(&empty, &gone, 700), (0, Some(at(1300))));
        let mut later = overrides.clone();
        let mut other = overrides.clone();
        let present = Present { below: &empty, registered: &gone, awaited: Awaited::All };
        assert_eq!(later.prune(present, at(1300)).len(), 1);
        let replaced = registered("pod-2");
        let present = Present { below: &full, registered: &replaced, awaited: Awaited::All };
        assert_eq!(other.prune(present, at(701)).len(), 1, "another one has come");
        // A name is gone at once where only the configuration has names.
        let present = Present { awaited: Awaited::Addresses, registered: &gone, below: &empty };
        assert_eq!(overrides.prune(present, at(701)).len(), 1);
    }
}
