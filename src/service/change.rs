//! Changes of a service by operators: validation, application to the overrides, refusals.

mod display;
mod error;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::ejection::ManualEjection;
use super::membership::Layer;
use super::overrides::Overrides;
use super::{Balancer, EndpointSpec, MAX_BACKENDS, MAX_WEIGHT, Provenance};
use crate::model::{Address, Time};
use crate::text::{LISTED, ParamValue, listed as list};
pub use error::ChangeError;

/// Maximum length of a name in an error message, which is sent in the `grpc-message` header.
const LISTED_CHARS: usize = 64;

/// Maximum duration of an ejection by an operator that has one.
const MAX_EJECTION: Duration = Duration::from_secs(365 * 24 * 3600);

/// Given instead of a policy's name, it restores the configured policy.
pub const CONFIGURED: &str = "configured";

/// A change of a service by an operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Set weights by address; other backends keep theirs.
    SetWeights(BTreeMap<String, u32>),
    /// Send no new requests to this address; its weight is kept.
    Drain {
        /// The address.
        address: String,
        /// When requests in flight are cut off, if at all.
        timeout: Option<Duration>,
    },
    /// Send new requests to this address again.
    Undrain(String),
    /// Send no new requests to this address, except in panic mode.
    Eject {
        /// The backend's address.
        address: String,
        /// For how long; `None` for until it is healed.
        time: Option<Duration>,
    },
    /// End the ejection of this address, whatever its cause.
    Heal(String),
    /// Add backends.
    Add(Vec<EndpointSpec>),
    /// Remove backends: they get no new requests, and those in flight finish.
    Remove(Vec<String>),
    /// Override the balancing policy.
    SetPolicy {
        /// The policy's name, or [`CONFIGURED`].
        policy: String,
        /// Its settings.
        settings: Vec<(String, ParamValue)>,
    },
    /// Drop the overrides of these addresses, or all of the service if there are none: the
    /// configuration is in effect again.
    Reset(Vec<String>),
}

/// Preconditions of a change (optimistic concurrency, last-backend guard).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// Refuse the change if the service is at another revision.
    pub expected_revision: Option<u64>,
    /// Allow a change that leaves no eligible backend.
    pub allow_empty: bool,
}

/// Context in which a change is validated and applied.
#[derive(Clone, Copy)]
pub(super) struct ChangeContext<'a> {
    /// The service's name.
    pub(super) service: &'a str,
    /// Membership without the overrides.
    pub(super) below: &'a Layer,
    /// Addresses of the current backends.
    pub(super) backends: &'a [&'a Address],
    /// Who made the change, and when.
    pub(super) provenance: &'a Provenance,
    /// The current time.
    pub(super) now: Time,
}

impl Change {
    /// Applies the change to `overrides`. On an error they are partly changed; discard them.
    pub(super) fn apply(
        &self,
        current: ChangeContext<'_>,
        overrides: &mut Overrides,
    ) -> Result<(), ChangeError> {
        let problems = match self {
            Change::SetWeights(weights) => current.set_weights(weights, overrides),
            Change::Drain { address, timeout } => current.drain(address, *timeout, overrides),
            Change::Undrain(address) => current.undrain(address, overrides),
            Change::Eject { address, time } => current.eject(address, *time, overrides),
            Change::Heal(address) => current.heal(address, overrides),
            Change::Add(backends) => current.add(backends, overrides),
            Change::Remove(addresses) => current.remove(addresses, overrides),
            Change::SetPolicy { policy, settings } => {
                current.set_policy(policy, settings, overrides)
            }
            Change::Reset(addresses) => current.reset(addresses, overrides),
        };
        if problems.is_empty() { Ok(()) } else { Err(ChangeError::Invalid(problems.join("; "))) }
    }
}

/// Each method applies one kind of change and returns all problems with it.
impl ChangeContext<'_> {
    fn set_weights(
        self,
        weights: &BTreeMap<String, u32>,
        overrides: &mut Overrides,
    ) -> Vec<String> {
        let (known, mut problems) = self.find(weights.keys());
        if weights.is_empty() {
            problems.push("no weights given: name at least one backend".into());
        }
        problems
            .extend(over_max_weight(weights.iter().map(|(address, weight)| (&**address, *weight))));
        for (address, weight) in known.iter().zip(weights.values()) {
            overrides.set_weight(address, *weight, self.provenance);
        }
        problems
    }

    fn drain(
        self,
        address: &String,
        timeout: Option<Duration>,
        overrides: &mut Overrides,
    ) -> Vec<String> {
        let (known, problems) = self.find([address]);
        let limit = timeout.map(|timeout| self.now + timeout);
        known.iter().for_each(|address| overrides.drain(address, limit, self.provenance));
        problems
    }

    fn undrain(self, address: &String, overrides: &mut Overrides) -> Vec<String> {
        let (known, problems) = self.find([address]);
        known.iter().for_each(|address| overrides.undrain(address));
        problems
    }

    fn eject(
        self,
        address: &String,
        time: Option<Duration>,
        overrides: &mut Overrides,
    ) -> Vec<String> {
        let (known, mut problems) = self.find([address]);
        if time.is_some_and(|time| time.is_zero() || time > MAX_EJECTION) {
            problems.push("an ejection lasts up to 365 days, and longer than no time".into());
        }
        let until = time.map(|time| self.now + time);
        let ejected = ManualEjection { since: self.now, until };
        known.iter().for_each(|address| overrides.eject(address, Some(ejected), self.provenance));
        problems
    }

    fn heal(self, address: &String, overrides: &mut Overrides) -> Vec<String> {
        let (known, problems) = self.find([address]);
        known.iter().for_each(|address| overrides.eject(address, None, self.provenance));
        problems
    }

    fn add(self, backends: &[EndpointSpec], overrides: &mut Overrides) -> Vec<String> {
        let mut problems = Vec::new();
        if backends.is_empty() {
            problems.push("no backends given: name at least one".into());
        }
        let all = self.backends.len() + backends.len();
        if all > MAX_BACKENDS {
            problems.push(format!("{all} backends would be more than the {MAX_BACKENDS} allowed"));
            return problems;
        }
        let mut known: HashSet<Address> = self.backends.iter().copied().cloned().collect();
        let (mut added, mut duplicates) = (Vec::new(), Vec::new());
        for EndpointSpec { address: text, weight } in backends {
            match Address::parse(text) {
                Err(message) => problems.push(message.chars().take(256).collect()),
                Ok(address) if !known.insert(address.clone()) => duplicates.push(clip(text)),
                Ok(address) => added.push((address, *weight)),
            }
        }
        problems.truncate(LISTED);
        overrides.add(self.below, &added, self.provenance);
        if !duplicates.is_empty() {
            let duplicates = list(duplicates);
            problems.push(format!("service `{}` would have {duplicates} twice", self.service));
        }
        problems.extend(over_max_weight(backends.iter().map(|b| (&*b.address, b.weight))));
        problems
    }

    fn remove(self, addresses: &[String], overrides: &mut Overrides) -> Vec<String> {
        if addresses.is_empty() {
            return vec!["no addresses given: name at least one backend".into()];
        }
        let (known, problems) = self.find(addresses);
        overrides.remove(self.below, &known, self.provenance);
        problems
    }

    fn reset(self, addresses: &[String], overrides: &mut Overrides) -> Vec<String> {
        if addresses.is_empty() {
            *overrides = Overrides::default();
            return Vec::new();
        }
        let parsed = addresses.iter().map(|text| (text, Address::parse(text)));
        let (removed, others): (Vec<_>, Vec<_>) = {
            let removed: HashSet<&Address> = self.removed().collect();
            parsed.partition(|(_, address)| address.as_ref().is_ok_and(|a| removed.contains(a)))
        };
        let (mut known, problems) = self.find(others.iter().map(|(text, _)| *text));
        known.extend(removed.into_iter().filter_map(|(_, address)| address.ok()));
        overrides.forget(&known);
        problems
    }

    /// Configured backends that operators have removed.
    fn removed(&self) -> impl Iterator<Item = &Address> {
        let here: HashSet<&Address> = self.backends.iter().copied().collect();
        self.below.iter().map(|(address, _)| address).filter(move |address| !here.contains(address))
    }

    fn set_policy(
        self,
        policy: &str,
        settings: &[(String, ParamValue)],
        overrides: &mut Overrides,
    ) -> Vec<String> {
        if policy == CONFIGURED {
            overrides.set_balancer(None, self.provenance);
            return match settings {
                [] => Vec::new(),
                _ => vec![format!("`{CONFIGURED}` takes no settings: the configuration has them")],
            };
        }
        let balancer = Balancer::policy(&clip(policy)).and_then(|policy| {
            let message = |bad| format!("{}: {bad}", policy.name());
            Balancer::new(policy, settings.to_vec()).map_err(message)
        });
        match balancer {
            Ok(balancer) => overrides.set_balancer(Some(balancer), self.provenance),
            Err(message) => return vec![message.chars().take(1024).collect()],
        }
        Vec::new()
    }

    /// Parses addresses of backends; returns the known ones, and a problem if there are others.
    fn find<'t>(self, texts: impl IntoIterator<Item = &'t String>) -> (Vec<Address>, Vec<String>) {
        let here: HashSet<&Address> = self.backends.iter().copied().collect();
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for text in texts {
            match Address::parse(text) {
                Ok(address) if here.contains(&address) => known.push(address),
                _ => unknown.push(clip(text)),
            }
        }
        let problems = if unknown.is_empty() { Vec::new() } else { self.unknown(unknown) };
        (known, problems)
    }

    /// The error message for addresses that the service does not have.
    fn unknown(self, unknown: Vec<String>) -> Vec<String> {
        let has = match self.backends {
            [] => "none".into(),
            backends => list(backends.iter().map(|address| clip(address.as_str())).collect()),
        };
        let removed: Vec<String> = self.removed().map(|address| clip(address.as_str())).collect();
        let removed = match &*removed {
            [] => String::new(),
            _ => format!("; operators have removed {}", list(removed)),
        };
        let (service, unknown) = (self.service, list(unknown));
        vec![format!("service `{service}` has no backend {unknown}; it has {has}{removed}")]
    }
}

fn over_max_weight<'a>(weights: impl Iterator<Item = (&'a str, u32)>) -> Option<String> {
    let heavy = weights.filter(|(_, weight)| *weight > MAX_WEIGHT);
    let heavy: Vec<_> =
        heavy.map(|(address, weight)| format!("{}={weight}", clip(address))).collect();
    (!heavy.is_empty())
        .then(|| format!("weights are 0 to {MAX_WEIGHT}, which {} exceeds", list(heavy)))
}

fn clip(name: &str) -> String {
    name.chars().take(LISTED_CHARS).collect()
}
