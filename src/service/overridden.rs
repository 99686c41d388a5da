//! Overrides by operators as they are listed, next to the configured values.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

use super::{Balancer, Stamp};
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
pub struct Overridden {
    /// What is overridden.
    pub kind: OverrideKind,
    /// The backend's address; empty if the whole service is meant.
    pub backend: String,
    /// The configured value, if there is one.
    pub configured: Option<Setting>,
    /// The overriding value; `None` if the backend is drained, ejected or removed.
    pub wanted: Option<Setting>,
    /// Who made the change, and when.
    pub stamp: Stamp,
}

/// Effect of a new configuration on the overrides.
pub(super) struct Covered<'a> {
    /// Overrides whose configured value has changed underneath.
    pub(super) anew: Vec<&'a Overridden>,
    /// Overrides that ended, as their backend is no longer configured.
    pub(super) ended: Vec<&'a Overridden>,
}

impl<'a> Covered<'a> {
    /// Compares the overrides before and after a configuration.
    pub(super) fn between(before: &'a [Overridden], after: &'a [Overridden]) -> Covered<'a> {
        let mut known: HashMap<_, _> = before.iter().map(|one| (one.subject(), one)).collect();
        let is_covered = |one: &&Overridden| {
            let earlier = known.remove(&one.subject());
            earlier.is_some_and(|earlier| earlier.configured != one.configured)
        };
        let anew = after.iter().filter(is_covered).collect();
        let is_left = |one: &&Overridden| known.contains_key(&one.subject());
        Covered { anew, ended: before.iter().filter(is_left).collect() }
    }
}

impl Covered<'_> {
    /// Logs both, so that file and effective state do not diverge unnoticed.
    pub(super) fn log(&self, service: &str) {
        let list = |these: &[&Overridden]| listed(these.iter().map(|o| o.to_string()).collect());
        if !self.anew.is_empty() {
            let (count, overrides) = (self.anew.len(), list(&self.anew));
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

impl Overridden {
    fn subject(&self) -> (OverrideKind, String) {
        (self.kind, address::identity(&self.backend))
    }
}

/// For the log.
impl Display for Overridden {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Overridden { kind, backend, configured, wanted, stamp } = self;
        match kind {
            OverrideKind::Weight => write!(f, "{backend} has")?,
            OverrideKind::Drain => write!(f, "{backend} is drained")?,
            OverrideKind::Eject => write!(f, "{backend} is ejected")?,
            OverrideKind::Add => write!(f, "{backend} was added with")?,
            OverrideKind::Remove => write!(f, "{backend} is removed")?,
            OverrideKind::Policy => f.write_str("the service has")?,
        }
        wanted.iter().try_for_each(|wanted| write!(f, " {wanted}"))?;
        match configured {
            Some(_) if configured == wanted => {
                f.write_str(", as the configuration says too: `ctl reset` is safe")?;
            }
            Some(configured) => write!(f, ", configured is {configured}")?,
            None => f.write_str(", configured is nothing")?,
        }
        write!(f, ", by {}", stamp.by)
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
