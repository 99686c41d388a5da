//! Overrides by operators as they are listed, next to the configured values.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::time::SystemTime;

use super::Balancer;
use crate::overrides::Provenance;
use crate::text::{address, listed};

/// Kind of an override.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverrideKind {
    /// The weight of a backend.
    Weight,
    /// A backend is drained.
    Drain,
    /// A backend is ejected.
    Eject,
    /// A backend was added.
    Add,
    /// A backend was removed.
    Remove,
    /// The balancing policy.
    Policy,
}

/// A value that can be both configured and overridden.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// Weight of a backend.
    Weight(u32),
    /// Policy of the service.
    Policy(Balancer),
}

/// One override by an operator, with the configured value.
#[derive(Clone, Debug, PartialEq)]
pub struct OverrideView {
    /// What is overridden.
    pub kind: OverrideKind,
    /// The backend's address; empty if the whole service is meant.
    pub backend: String,
    /// The configured value, if there is one.
    pub configured: Option<Setting>,
    /// The overriding value; `None` if the backend is drained, ejected or removed.
    pub value: Option<Setting>,
    /// Who made the change, and when.
    pub provenance: Provenance,
    /// When it is over, by the wall clock, if ever.
    pub until: Option<SystemTime>,
}

/// Effect of a new configuration on the overrides.
pub(super) struct OverrideChanges<'a> {
    /// Overrides whose configured value has changed underneath.
    pub(super) base_changed: Vec<&'a OverrideView>,
    /// Overrides that ended, as their backend is no longer configured.
    pub(super) ended: Vec<&'a OverrideView>,
}

impl<'a> OverrideChanges<'a> {
    /// Compares the overrides before and after a configuration.
    pub(super) fn between(
        before: &'a [OverrideView],
        after: &'a [OverrideView],
    ) -> OverrideChanges<'a> {
        let mut known: HashMap<_, _> = before.iter().map(|one| (one.key(), one)).collect();
        let is_changed = |one: &&OverrideView| {
            let earlier = known.remove(&one.key());
            earlier.is_some_and(|earlier| earlier.configured != one.configured)
        };
        let base_changed = after.iter().filter(is_changed).collect();
        let is_ended = |one: &&OverrideView| known.contains_key(&one.key());
        OverrideChanges { base_changed, ended: before.iter().filter(is_ended).collect() }
    }
}

impl OverrideChanges<'_> {
    /// Logs both, so that file and effective state do not diverge unnoticed.
    pub(super) fn log(&self, service: &str) {
        let list = |these: &[&OverrideView]| listed(these.iter().map(|o| o.to_string()).collect());
        if !self.base_changed.is_empty() {
            let (count, overrides) = (self.base_changed.len(), list(&self.base_changed));
            tracing::warn!(
                service,
                count,
                overrides,
                "the configuration has changed under what operators want, which stays in effect: \
                 `ctl reset` takes it back",
            );
        }
        if !self.ended.is_empty() {
            let (count, overrides) = (self.ended.len(), list(&self.ended));
            tracing::warn!(
                service,
                count,
                overrides,
                "what operators wanted has ended: the configuration has these backends no more",
            );
        }
    }
}

impl OverrideView {
    fn key(&self) -> (OverrideKind, String) {
        (self.kind, address::identity(&self.backend))
    }
}

/// For the log.
impl Display for OverrideView {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let OverrideView { kind, backend, configured, value, provenance, .. } = self;
        match kind {
            OverrideKind::Weight => write!(f, "{backend} has")?,
            OverrideKind::Drain => write!(f, "{backend} is drained")?,
            OverrideKind::Eject => write!(f, "{backend} is ejected")?,
            OverrideKind::Add => write!(f, "{backend} was added with")?,
            OverrideKind::Remove => write!(f, "{backend} is removed")?,
            OverrideKind::Policy => f.write_str("the service has")?,
        }
        value.iter().try_for_each(|value| write!(f, " {value}"))?;
        match configured {
            Some(_) if configured == value => {
                f.write_str(", as the configuration says too: `ctl reset` is safe")?;
            }
            Some(configured) => write!(f, ", configured is {configured}")?,
            None => f.write_str(", configured is nothing")?,
        }
        write!(f, ", by {}", provenance.by)
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Weight(weight) => write!(f, "weight {weight}"),
            Setting::Policy(balancer) => write!(f, "policy {balancer}"),
        }
    }
}
