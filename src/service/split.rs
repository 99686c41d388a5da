//! Traffic split of one route: its view, changes by operators, validation.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::SystemTime;

use crate::overrides::{CannotRevert, NotKept, Provenance};
use crate::route::{MAX_SHARE_WEIGHT, Split};
use crate::text::listed;

/// View of a route's traffic split.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitView {
    /// The route's name.
    pub route: String,
    /// Its match in words.
    pub matched: String,
    /// Increments on every change.
    pub revision: u64,
    /// The header whose value selects the share; random without it.
    pub split_by: Option<String>,
    /// Shares in the order of the configuration.
    pub shares: Vec<ShareView>,
}

/// View of one share of a split.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareView {
    /// Name of the share: the service, with `#2` and so on if that has several.
    pub name: String,
    /// The service.
    pub service: String,
    /// The weight in effect.
    pub weight: u32,
    /// The configured weight.
    pub configured: u32,
    /// Who has overridden the weight, and when.
    pub provenance: Option<Provenance>,
    /// When the override is over, by the wall clock, if ever.
    pub until: Option<SystemTime>,
}

/// Why a change of a split was refused; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// There is no such route.
    #[error("there is no route `{0}`{1}")]
    Unknown(String, String),
    /// The change is invalid; lists every problem.
    #[error("{0}")]
    Invalid(String),
    /// Precondition failed: the split is at another revision than expected.
    #[error(
        "the split of route `{route}` is at revision {current}, not at the expected {expected}: \
         read it again and decide anew"
    )]
    Stale {
        /// The route.
        route: String,
        /// The revision that it is at.
        current: u64,
        /// The revision that the change expected.
        expected: u64,
    },
    /// All weights would be 0.
    #[error("this would leave route `{0}` with no service to send requests to: all weights are 0")]
    Empty(String),
    /// The change that is to be reverted cannot be.
    #[error(transparent)]
    CannotRevert(#[from] CannotRevert),
    /// The store of overrides cannot keep it.
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

/// A change of a route's split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitChange {
    /// Set weights by name of share; other shares keep theirs.
    Set(BTreeMap<String, u32>),
    /// Drop the overrides: the configured weights are in effect again.
    Reset,
    /// Undo the change that has made this revision.
    Revert(u64),
}

/// For the log; truncated, however long the request was.
impl Display for SplitChange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            SplitChange::Reset => f.write_str("reset split"),
            SplitChange::Revert(revision) => write!(f, "revert revision {revision} of the split"),
            SplitChange::Set(weights) => {
                let weights = weights.iter().map(|(name, weight)| format!("{name:.64}={weight}"));
                write!(f, "set split {}", listed(weights.collect()))
            }
        }
    }
}

/// Validates names and weights of shares.
pub(super) fn validate(
    route: &str,
    split: &Split,
    weights: &BTreeMap<String, u32>,
) -> Result<(), SplitError> {
    let keys: Vec<String> = split.keys().collect();
    let mut problems = Vec::new();
    if weights.is_empty() {
        problems.push("no weights given: name at least one service".to_owned());
    }
    let clip = |name: &String| -> String { name.chars().take(64).collect() };
    let unknown: Vec<String> = weights.keys().filter(|key| !keys.contains(key)).map(clip).collect();
    if !unknown.is_empty() {
        let (unknown, has) = (listed(unknown), listed(keys));
        problems.push(format!(
            "route `{route}` has no share for {unknown}; it has {has}: the configuration says \
             which services there are, with weight 0 if need be"
        ));
    }
    let heavy = weights.iter().filter(|(_, weight)| **weight > MAX_SHARE_WEIGHT);
    let heavy: Vec<String> =
        heavy.map(|(name, weight)| format!("{}={weight}", clip(name))).collect();
    if !heavy.is_empty() {
        problems
            .push(format!("weights are 0 to {MAX_SHARE_WEIGHT}, which {} exceeds", listed(heavy)));
    }
    if problems.is_empty() { Ok(()) } else { Err(SplitError::Invalid(problems.join("; "))) }
}
