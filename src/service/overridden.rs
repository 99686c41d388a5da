//! What operators want otherwise than the configuration has it, as they are to see it.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

use super::{Balancer, Stamp};
use crate::text::{address, listed};

/// What an override is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverrideKind {
    /// A backend has another weight.
    Weight,
    /// A backend takes no new requests.
    Drain,
    /// A backend was added.
    Add,
    /// A backend was removed.
    Remove,
    /// Requests are spread in another way.
    Policy,
}

/// A value that both the configuration and operators may give.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// Of a backend.
    Weight(u32),
    /// Of the service.
    Policy(Balancer),
}

/// One thing that operators want otherwise than the configuration has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Overridden {
    /// What it is about.
    pub kind: OverrideKind,
    /// The backend's address; empty for what is about the service.
    pub backend: String,
    /// What the configuration says, if it says something.
    pub configured: Option<Setting>,
    /// What is wanted instead; nothing where the backend is drained or removed.
    pub wanted: Option<Setting>,
    /// Who wanted it, and when.
    pub stamp: Stamp,
}

/// What another configuration means for overrides.
pub(super) struct Covered<'a> {
    /// Those in whose place the configuration now says something else than before.
    pub(super) anew: Vec<&'a Overridden>,
    /// Those that ended, as what they were about is gone.
    pub(super) ended: Vec<&'a Overridden>,
}

impl<'a> Covered<'a> {
    /// What has changed from `before` to `after`.
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
    /// Says so: what a new file says and what is in effect must not part in silence.
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
