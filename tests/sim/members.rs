//! A model of a service's membership, written from the documentation; the product is compared with
//! it.

use std::collections::BTreeSet;

use equipoise::health::Health;
use equipoise::service::{BackendView, Cause, Change, Condition, ServiceView, Terms};

use super::ledger::Place;

/// The present and possible backends of one service.
#[derive(Clone, Debug)]
pub struct Members {
    pub service: &'static str,
    /// The revision: number of operators' changes.
    pub revision: u64,
    /// When less of a hundred is well, those serve too that are not.
    panic: u64,
    members: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    /// The number of the backend.
    backend: usize,
    address: String,
    /// Its weight in the file, if it is there.
    configured: Option<u32>,
    /// The weight that an operator added it with.
    added: Option<u32>,
    /// The weight that an operator set since.
    weight: Option<u32>,
    drained: bool,
    /// By an operator.
    ejected: bool,
    removed: bool,
    health: Found,
}

/// A backend's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Well,
    Unwell,
    /// Unhealthy by its own report.
    Declining,
}

impl Member {
    fn is_there(&self) -> bool {
        !self.removed && self.configured.or(self.added).is_some()
    }

    fn weight(&self) -> u32 {
        self.weight.or(self.added).or(self.configured).unwrap_or_default()
    }

    /// Whether it gets requests while healthy.
    fn serves(&self) -> bool {
        self.is_there() && !self.drained && self.weight() > 0
    }

    /// Whether it is neither unhealthy nor ejected by an operator.
    fn is_in(&self) -> bool {
        self.health == Found::Well && !self.ejected
    }

    fn forget(&mut self) {
        (self.added, self.weight) = (None, None);
        (self.drained, self.ejected, self.removed) = (false, false, false);
    }
}

impl Members {
    /// A service with these possible backends, none of which is in the file yet.
    pub fn new(
        service: &'static str,
        panic: u64,
        backends: impl Iterator<Item = (usize, String)>,
    ) -> Members {
        let member = |(backend, address)| Member {
            backend,
            address,
            configured: None,
            added: None,
            weight: None,
            drained: false,
            ejected: false,
            removed: false,
            health: Found::Well,
        };
        Members { service, revision: 1, panic, members: backends.map(member).collect() }
    }

    /// All possible addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &String> {
        self.members.iter().map(|member| &member.address)
    }

    /// After a reload with these weights.
    pub fn configured(&self, weight: impl Fn(usize) -> Option<u32>) -> Members {
        let mut after = self.clone();
        for member in &mut after.members {
            member.configured = weight(member.backend);
            if member.configured.or(member.added).is_none() {
                member.forget();
            }
        }
        after.forgets_who_is_gone()
    }

    /// Absent backends are not checked; a new one counts as healthy.
    fn forgets_who_is_gone(mut self) -> Members {
        let gone = self.members.iter_mut().filter(|member| !member.is_there());
        gone.for_each(|member| member.health = Found::Well);
        self
    }

    /// After a health check found this.
    pub fn examined(&self, address: &str, health: &Health) -> Members {
        let mut after = self.clone();
        let member = after.at(address).expect("it is there");
        member.health = match health {
            Health::Healthy => Found::Well,
            Health::Unhealthy(unwell) if unwell.declared => Found::Declining,
            Health::Unhealthy(_) => Found::Unwell,
        };
        after
    }

    /// The present addresses.
    pub fn present(&self) -> impl Iterator<Item = &String> {
        self.members.iter().filter(|member| member.is_there()).map(|member| &member.address)
    }

    /// After an operator's change; `None` if it must be rejected.
    pub fn changed(&self, change: &Change, conditions: Terms) -> Option<Members> {
        let mut after = Members { revision: self.revision + 1, ..self.clone() };
        match change {
            Change::SetWeights(weights) => {
                for (address, weight) in weights {
                    after.there(address)?.weight = Some(*weight);
                }
            }
            Change::Drain { address, .. } => after.there(address)?.drained = true,
            Change::Undrain(address) => after.there(address)?.drained = false,
            Change::Eject { address, .. } => after.there(address)?.ejected = true,
            Change::Heal(address) => after.there(address)?.ejected = false,
            Change::Add(backends) => {
                for backend in backends {
                    after.add(&backend.address, backend.weight)?;
                }
            }
            Change::Remove(addresses) => {
                for address in addresses {
                    let member = after.there(address)?;
                    member.forget();
                    member.removed = member.configured.is_some();
                }
            }
            Change::Reset(addresses) if addresses.is_empty() => {
                after.members.iter_mut().for_each(Member::forget);
            }
            Change::Reset(addresses) => {
                for address in addresses {
                    let member = after.at(address)?;
                    if !member.is_there() && !member.removed {
                        return None;
                    }
                    member.forget();
                }
            }
            Change::SetPolicy { .. } => {}
            Change::Revert(_) => return None, // not drawn
        }
        let stale = conditions.expected_revision.is_some_and(|known| known != self.revision);
        let empty = self.serves() && !after.serves() && !conditions.allow_empty;
        (!stale && !empty).then(|| after.forgets_who_is_gone())
    }

    fn add(&mut self, address: &str, weight: u32) -> Option<()> {
        let member = self.at(address)?;
        if member.is_there() {
            return None;
        }
        member.forget();
        match member.configured {
            Some(_) => member.weight = Some(weight),
            None => member.added = Some(weight),
        }
        Some(())
    }

    fn at(&mut self, address: &str) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.address == address)
    }

    fn there(&mut self, address: &str) -> Option<&mut Member> {
        self.at(address).filter(|member| member.is_there())
    }

    /// Whether any backend is eligible.
    pub fn serves(&self) -> bool {
        self.members.iter().any(Member::serves)
    }

    /// The backends that are eligible, or those that are not.
    pub fn taking(&self, requests: bool) -> BTreeSet<Place> {
        let takes = |member: &Member| {
            let health = match member.health {
                Found::Declining => false,
                _ => member.is_in() || self.panics(),
            };
            member.serves() && health
        };
        let members = self.members.iter().filter(|member| takes(member) == requests);
        members.map(|member| Place::Backend(member.backend)).collect()
    }

    /// Whether the panic threshold is reached.
    fn panics(&self) -> bool {
        let weight = |counts: fn(&Member) -> bool| -> u64 {
            let counted = self.members.iter().filter(|it| it.is_there() && !it.drained);
            let counted = counted.filter(|it| counts(it));
            counted.map(|member| u64::from(member.weight())).sum()
        };
        100 * weight(Member::is_in) < self.panic * weight(|it| it.health != Found::Declining)
    }

    /// Whether more are ejected than allowed: half of the eligible ones, and never an only one.
    /// Operators may eject more.
    pub fn too_many_ejected(view: &ServiceView) -> bool {
        let serves = |it: &&BackendView| !it.intent.drained && it.intent.weight > 0;
        let all = view.backends.iter().filter(serves);
        let ejected = |it: &BackendView| it.condition.ejected.map(|ejected| ejected.cause);
        let by_hand = all.clone().filter(|it| ejected(it) == Some(Cause::Hand)).count();
        let count = all.clone().filter(|it| ejected(it).is_some()).count();
        2 * count > all.count() && count > by_hand
    }

    /// How `view` differs from the model.
    pub fn differs(&self, view: &ServiceView) -> Option<String> {
        let told = |address: &str, weight, drained, health| {
            format!("{address}={weight} {drained} {health:?}")
        };
        let found = |condition: &Condition| match condition.unhealthy.as_ref() {
            None => Found::Well,
            Some(unwell) if unwell.declared => Found::Declining,
            Some(_) => Found::Unwell,
        };
        let members = self.members.iter().filter(|member| member.is_there());
        let wanted: BTreeSet<_> =
            members.map(|it| told(&it.address, it.weight(), it.drained, it.health)).collect();
        let backends =
            view.backends.iter().map(|BackendView { endpoint, intent, condition, .. }| {
                told(endpoint.address(), intent.weight, intent.drained, found(condition))
            });
        let there: BTreeSet<_> = backends.collect();
        let (service, revision) = (self.service, self.revision);
        (there != wanted || view.revision != revision).then(|| {
            format!("{service} is {there:?} at {}, not {wanted:?} at {revision}", view.revision)
        })
    }
}
