//! What operators may change about a service, and why a change may be refused.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};

use super::MAX_WEIGHT;

/// How many names an error message lists, and how much of each: it travels in a header.
const LISTED: usize = 8;
const LISTED_CHARS: usize = 64;

/// A change that an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// New weights by address; other backends keep theirs.
    SetWeights(BTreeMap<String, u32>),
    /// No new requests to this address; its weight is kept.
    Drain(String),
    /// New requests to this address again.
    Undrain(String),
}

/// What must hold for a change to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The service is still at this revision.
    pub expected_revision: Option<u64>,
    /// No endpoint needs to be left that may take requests.
    pub allow_empty: bool,
}

/// Why a change was refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Something about the change itself is wrong: every such thing.
    #[error("{0}")]
    Invalid(String),
    /// The service is at another revision than expected.
    #[error(
        "service `{service}` is at revision {current}, not at the expected {expected}: \
         read it again and decide anew"
    )]
    Stale {
        /// The service.
        service: String,
        /// The revision it is at.
        current: u64,
        /// The revision that the change expected.
        expected: u64,
    },
    /// No endpoint would be left that may take requests.
    #[error(
        "this would leave service `{service}` with no backend to take requests; \
         set allow_empty if that is meant"
    )]
    Empty {
        /// The service.
        service: String,
    },
    /// The writer is gone.
    #[error("service `{service}` no longer takes changes: the gateway is shutting down")]
    Closed {
        /// The service.
        service: String,
    },
}

/// What operators want of one endpoint, over what the configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Override {
    pub(super) weight: Option<u32>,
    pub(super) drained: bool,
}

impl Change {
    /// Makes the change in `overrides`, where `index` says which is whose. On an error the
    /// overrides are spoilt.
    pub(super) fn apply(
        &self,
        service: &str,
        index: &HashMap<String, usize>,
        overrides: &mut [Override],
    ) -> Result<(), ChangeError> {
        let mut unknown = Vec::new();
        let mut edit = |address: &str, change: &dyn Fn(&mut Override)| match index
            .get(address)
            .and_then(|i| overrides.get_mut(*i))
        {
            Some(entry) => change(entry),
            None => unknown.push(clip(address)),
        };
        let mut wrong = Vec::new();
        match self {
            Change::SetWeights(weights) => {
                for (address, &weight) in weights {
                    edit(address, &|entry| entry.weight = Some(weight));
                }
                wrong.extend(wrong_weights(weights));
            }
            Change::Drain(address) => edit(address, &|entry| entry.drained = true),
            Change::Undrain(address) => edit(address, &|entry| entry.drained = false),
        }
        if !unknown.is_empty() {
            let known: Vec<_> = index.keys().map(|address| clip(address)).collect();
            let (unknown, known) = (list(unknown), list(known));
            wrong
                .insert(0, format!("service `{service}` has no backend {unknown}; it has {known}"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(ChangeError::Invalid(wrong.join("; "))) }
    }
}

/// For the log: clipped, however long the request was.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::SetWeights(weights) => {
                let weights = weights.iter().map(|(a, w)| format!("{}={w}", clip(a)));
                write!(f, "set weights {}", list(weights.collect()))
            }
            Change::Drain(address) => write!(f, "drain `{}`", clip(address)),
            Change::Undrain(address) => write!(f, "undrain `{}`", clip(address)),
        }
    }
}

fn wrong_weights(weights: &BTreeMap<String, u32>) -> Option<String> {
    if weights.is_empty() {
        return Some("no weights given: name at least one backend".into());
    }
    let too_large: Vec<_> = weights
        .iter()
        .filter(|(_, weight)| **weight > MAX_WEIGHT)
        .map(|(address, weight)| format!("{}={weight}", clip(address)))
        .collect();
    (!too_large.is_empty())
        .then(|| format!("weights are 0 to {MAX_WEIGHT}, which {} exceeds", list(too_large)))
}

fn clip(name: &str) -> String {
    name.chars().take(LISTED_CHARS).collect()
}

/// `a`, `b` and 3 more
fn list(mut names: Vec<String>) -> String {
    names.sort_unstable();
    let mut text = String::new();
    for (i, name) in names.iter().take(LISTED).enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}`{name}`");
    }
    if names.len() > LISTED {
        let _ = write!(text, " and {} more", names.len() - LISTED);
    }
    text
}
