//! How one route splits its requests, what operators may change about it, and why they may not.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::Stamp;
use crate::route::{MAX_SHARE_WEIGHT, Split};
use crate::text::listed;

/// How a route splits its requests.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitView {
    /// The route's name.
    pub route: String,
    /// What it asks for.
    pub matched: String,
    /// Every change makes it one more.
    pub revision: u64,
    /// The header whose value decides; by chance without it.
    pub split_by: Option<String>,
    /// In the order of the configuration.
    pub shares: Vec<ShareView>,
}

/// One share of a split.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareView {
    /// What it is called: the service, with `#2` and so on where that has several.
    pub name: String,
    /// The service.
    pub service: String,
    /// The weight in effect.
    pub weight: u32,
    /// The weight that the configuration has.
    pub configured: u32,
    /// Who wanted another one, and when.
    pub stamp: Option<Stamp>,
}

/// Why a split was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// There is no such route.
    #[error("there is no route `{0}`{1}")]
    Unknown(String, String),
    /// Something about the change itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The route is at another revision than expected.
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
}

/// A change of a route's split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitChange {
    /// Other weights by the names of shares; the others keep theirs.
    Set(BTreeMap<String, u32>),
    /// What the configuration says.
    Reset,
}

/// For the log: clipped, however long the request was.
impl Display for SplitChange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            SplitChange::Reset => f.write_str("reset split"),
            SplitChange::Set(weights) => {
                let weights = weights.iter().map(|(name, weight)| format!("{name:.64}={weight}"));
                write!(f, "set split {}", listed(weights.collect()))
            }
        }
    }
}

/// Whether the route has such shares, and they may have such weights.
pub(super) fn check(
    route: &str,
    split: &Split,
    weights: &BTreeMap<String, u32>,
) -> Result<(), SplitError> {
    let keys: Vec<String> = split.keys().collect();
    let mut wrong = Vec::new();
    if weights.is_empty() {
        wrong.push("no weights given: name at least one service".to_owned());
    }
    let clip = |name: &String| -> String { name.chars().take(64).collect() };
    let unknown: Vec<String> = weights.keys().filter(|key| !keys.contains(key)).map(clip).collect();
    if !unknown.is_empty() {
        let (unknown, has) = (listed(unknown), listed(keys));
        wrong.push(format!(
            "route `{route}` has no share for {unknown}; it has {has}: the configuration says \
             which services there are, with weight 0 if need be"
        ));
    }
    let heavy = weights.iter().filter(|(_, weight)| **weight > MAX_SHARE_WEIGHT);
    let heavy: Vec<String> =
        heavy.map(|(name, weight)| format!("{}={weight}", clip(name))).collect();
    if !heavy.is_empty() {
        wrong.push(format!("weights are 0 to {MAX_SHARE_WEIGHT}, which {} exceeds", listed(heavy)));
    }
    if wrong.is_empty() { Ok(()) } else { Err(SplitError::Invalid(wrong.join("; "))) }
}
