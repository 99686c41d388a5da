//! What a service is to be after changes and reloads, as whoever reads the documentation works it
//! out: the product is held against that.

use std::collections::BTreeSet;

use equipoise::service::{Change, Conditions, ServiceView};

use super::ledger::Place;

/// The backends of one service: those that there are, and those that there may be.
#[derive(Clone, Debug)]
pub struct Members {
    pub service: &'static str,
    /// Counts what operators have changed.
    pub revision: u64,
    members: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    /// The number of the backend.
    backend: usize,
    address: String,
    /// The weight that the file gives it, if it has it.
    configured: Option<u32>,
    /// The weight with which operators have added it.
    added: Option<u32>,
    /// The weight that they have given it since.
    weight: Option<u32>,
    drained: bool,
    removed: bool,
}

impl Member {
    fn is_there(&self) -> bool {
        !self.removed && self.configured.or(self.added).is_some()
    }

    fn weight(&self) -> u32 {
        self.weight.or(self.added).or(self.configured).unwrap_or_default()
    }

    fn serves(&self) -> bool {
        self.is_there() && !self.drained && self.weight() > 0
    }

    fn forget(&mut self) {
        (self.added, self.weight, self.drained, self.removed) = (None, None, false, false);
    }
}

impl Members {
    /// Those of a service that may have these backends, as the file has none of them yet.
    pub fn new(service: &'static str, backends: impl Iterator<Item = (usize, String)>) -> Members {
        let member = |(backend, address)| Member {
            backend,
            address,
            configured: None,
            added: None,
            weight: None,
            drained: false,
            removed: false,
        };
        Members { service, revision: 1, members: backends.map(member).collect() }
    }

    /// Every address that may be one of a backend.
    pub fn addresses(&self) -> impl Iterator<Item = &String> {
        self.members.iter().map(|member| &member.address)
    }

    /// The same once the file gives each backend this weight, or does not have it.
    pub fn configured(&self, weight: impl Fn(usize) -> Option<u32>) -> Members {
        let mut after = self.clone();
        for member in &mut after.members {
            member.configured = weight(member.backend);
            if member.configured.or(member.added).is_none() {
                member.forget();
            }
        }
        after
    }

    /// The same after a change, or nothing if that is to be refused.
    pub fn changed(&self, change: &Change, conditions: Conditions) -> Option<Members> {
        let mut after = Members { revision: self.revision + 1, ..self.clone() };
        match change {
            Change::SetWeights(weights) => {
                for (address, weight) in weights {
                    after.there(address)?.weight = Some(*weight);
                }
            }
            Change::Drain(address) => after.there(address)?.drained = true,
            Change::Undrain(address) => after.there(address)?.drained = false,
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
        }
        let stale = conditions.expected_revision.is_some_and(|known| known != self.revision);
        let empty = self.serves() && !after.serves() && !conditions.allow_empty;
        (!stale && !empty).then_some(after)
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

    /// Whether any takes requests.
    pub fn serves(&self) -> bool {
        self.members.iter().any(Member::serves)
    }

    /// The backends that take requests, or those that do not.
    pub fn taking(&self, requests: bool) -> BTreeSet<Place> {
        let members = self.members.iter().filter(|member| member.serves() == requests);
        members.map(|member| Place::Backend(member.backend)).collect()
    }

    /// What `view` tells otherwise.
    pub fn differs(&self, view: &ServiceView) -> Option<String> {
        let told = |address: &str, weight, drained| format!("{address}={weight} {drained}");
        let members = self.members.iter().filter(|member| member.is_there());
        let wanted: BTreeSet<_> =
            members.map(|member| told(&member.address, member.weight(), member.drained)).collect();
        let backends = view.backends.iter().map(|backend| {
            told(backend.endpoint.address(), backend.wanted.weight, backend.wanted.drained)
        });
        let there: BTreeSet<_> = backends.collect();
        let (service, revision) = (self.service, self.revision);
        (there != wanted || view.revision != revision).then(|| {
            format!("{service} is {there:?} at {}, not {wanted:?} at {revision}", view.revision)
        })
    }
}
