//! Changes of a service by operators: validation, application to the overrides, refusals.

mod display;
mod error;
mod terms;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::membership::Layer;
use super::overrides::Overrides;
use super::{Balancer, EndpointSpec, MAX_BACKENDS, MAX_WEIGHT};
use crate::model::{Address, Time};
use crate::overrides::{ChangeLog, Edit, Field, Value};
use crate::text::{LISTED, ParamValue, listed as list};
pub use error::ChangeError;
pub use terms::Terms;
pub(super) use terms::validate_ttl;

/// Maximum length of a name in an error message, which is sent in the `grpc-message` header.
const LISTED_CHARS: usize = 64;

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
    /// Undo the change that has made this revision.
    Revert(u64),
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
    /// The overrides so far.
    pub(super) overrides: &'a Overrides,
    /// The last changes.
    pub(super) log: &'a ChangeLog,
    /// The current time.
    pub(super) now: Time,
}

impl Change {
    /// For how long it is to hold: an ejection has a time of its own.
    pub(super) fn ttl(&self, terms: Terms) -> Result<Option<Duration>, ChangeError> {
        let ttl = match self {
            Change::Eject { time: Some(_), .. } if terms.ttl.is_some() => {
                let message = "an ejection's time and its ttl are the same: give one of them";
                return Err(ChangeError::Invalid(message.into()));
            }
            Change::Eject { time: Some(time), .. } => Some(*time),
            _ => terms.ttl,
        };
        validate_ttl(ttl).map(|()| ttl)
    }

    /// What it edits.
    pub(super) fn edits(&self, current: ChangeContext<'_>) -> Result<Vec<Edit>, ChangeError> {
        let mut edits = Vec::new();
        let problems = match self {
            Change::SetWeights(weights) => current.set_weights(weights, &mut edits),
            Change::Drain { address, timeout } => current.drain(address, *timeout, &mut edits),
            Change::Undrain(address) => current.set(address, Field::Drain, None, &mut edits),
            Change::Eject { address, .. } => {
                current.set(address, Field::Eject, Some(Value::Ejected), &mut edits)
            }
            Change::Heal(address) => current.set(address, Field::Eject, None, &mut edits),
            Change::Add(backends) => current.add(backends, &mut edits),
            Change::Remove(addresses) => current.remove(addresses, &mut edits),
            Change::SetPolicy { policy, settings } => {
                current.set_policy(policy, settings, &mut edits)
            }
            Change::Reset(addresses) => current.reset(addresses, &mut edits),
            Change::Revert(revision) => {
                return current.log.revert(*revision, current.now).map_err(ChangeError::from);
            }
        };
        if problems.is_empty() { Ok(edits) } else { Err(ChangeError::Invalid(problems.join("; "))) }
    }
}

/// Each method adds the edits of one kind of change, and returns all problems with it.
impl ChangeContext<'_> {
    fn set_weights(self, weights: &BTreeMap<String, u32>, edits: &mut Vec<Edit>) -> Vec<String> {
        let (known, mut problems) = self.find(weights.keys());
        if weights.is_empty() {
            problems.push("no weights given: name at least one backend".into());
        }
        problems
            .extend(over_max_weight(weights.iter().map(|(address, weight)| (&**address, *weight))));
        for (address, weight) in known.into_iter().zip(weights.values()) {
            edits.push(Edit::to(Field::Weight(address), Some(Value::Weight(*weight))));
        }
        problems
    }

    fn drain(
        self,
        address: &String,
        timeout: Option<Duration>,
        edits: &mut Vec<Edit>,
    ) -> Vec<String> {
        let deadline = timeout.map(|timeout| self.now + timeout);
        self.set(address, Field::Drain, Some(Value::Drained { deadline }), edits)
    }

    /// Sets one field of a backend.
    fn set(
        self,
        address: &String,
        field: fn(Address) -> Field,
        value: Option<Value>,
        edits: &mut Vec<Edit>,
    ) -> Vec<String> {
        let (known, problems) = self.find([address]);
        edits.extend(known.into_iter().map(|address| Edit::to(field(address), value.clone())));
        problems
    }

    fn add(self, backends: &[EndpointSpec], edits: &mut Vec<Edit>) -> Vec<String> {
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
        for (address, weight) in added {
            // A configured one, which operators had removed, is back with another weight.
            let configured = self.below.get(&address).is_some();
            let member = (!configured).then_some(Value::Added(weight));
            let weight = configured.then_some(Value::Weight(weight));
            edits.extend([
                Edit::to(Field::Member(address.clone()), member),
                Edit::to(Field::Weight(address.clone()), weight),
                Edit::to(Field::Drain(address.clone()), None),
                Edit::to(Field::Eject(address), None),
            ]);
        }
        if !duplicates.is_empty() {
            let duplicates = list(duplicates);
            problems.push(format!("service `{}` would have {duplicates} twice", self.service));
        }
        problems.extend(over_max_weight(backends.iter().map(|b| (&*b.address, b.weight))));
        problems
    }

    /// Removes backends and their other overrides.
    fn remove(self, addresses: &[String], edits: &mut Vec<Edit>) -> Vec<String> {
        if addresses.is_empty() {
            return vec!["no addresses given: name at least one backend".into()];
        }
        let (known, problems) = self.find(addresses);
        for address in known {
            // One that only operators had added is away without an override.
            let removed = self.below.get(&address).map(|_| Value::Removed);
            edits.extend([
                Edit::to(Field::Member(address.clone()), removed),
                Edit::to(Field::Weight(address.clone()), None),
                Edit::to(Field::Drain(address.clone()), None),
                Edit::to(Field::Eject(address), None),
            ]);
        }
        problems
    }

    fn reset(self, addresses: &[String], edits: &mut Vec<Edit>) -> Vec<String> {
        if addresses.is_empty() {
            edits.extend(self.overrides.fields().map(|(field, _)| Edit::to(field, None)));
            return Vec::new();
        }
        let parsed = addresses.iter().map(|text| (text, Address::parse(text)));
        let (removed, others): (Vec<_>, Vec<_>) = {
            let removed: HashSet<&Address> = self.removed().collect();
            parsed.partition(|(_, address)| address.as_ref().is_ok_and(|a| removed.contains(a)))
        };
        let (mut known, problems) = self.find(others.iter().map(|(text, _)| *text));
        known.extend(removed.into_iter().filter_map(|(_, address)| address.ok()));
        let fields = known.iter().flat_map(|address| self.overrides.fields_of(address));
        edits.extend(fields.map(|field| Edit::to(field, None)));
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
        edits: &mut Vec<Edit>,
    ) -> Vec<String> {
        if policy == CONFIGURED {
            edits.push(Edit::to(Field::Policy, None));
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
            Ok(Balancer { policy, settings, .. }) => {
                let value = Value::Policy { name: policy.into(), settings };
                edits.push(Edit::to(Field::Policy, Some(value)));
            }
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
