//! Author and time of a change, for the audit log.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::SystemTime;

use crate::clock;

/// Author of a change, and the reason given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Who the caller has proved to be, if they had to.
    pub identity: Option<Arc<str>>,
    /// Peer address of the call.
    pub peer: Arc<str>,
    /// Name that the caller claims; not verified.
    pub actor: Option<Arc<str>>,
    /// Reason given by the caller.
    pub reason: Option<Arc<str>>,
    /// The method that was called; not known of an earlier process.
    pub method: Option<&'static str>,
}

impl From<&str> for Author {
    fn from(peer: &str) -> Author {
        Author { identity: None, peer: peer.into(), actor: None, reason: None, method: None }
    }
}

/// For the log: what was proved comes first, the unverified name is in brackets.
impl Display for Author {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.identity {
            None => f.write_str(&self.peer)?,
            Some(identity) => write!(f, "{identity} at {}", self.peer)?,
        }
        match &self.actor {
            None => Ok(()),
            Some(actor) => write!(f, " ({actor})"),
        }
    }
}

/// Author and time of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Author and reason.
    pub by: Author,
    /// Wall-clock time.
    pub at: SystemTime,
}

impl Provenance {
    /// At the current time.
    pub fn now(by: &Author) -> Provenance {
        Provenance { by: by.clone(), at: clock::wall() }
    }
}
