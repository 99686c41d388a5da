//! Who wanted something, when and why.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::SystemTime;

use crate::clock;

/// Who asks for a change, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Where the call came from.
    pub peer: Arc<str>,
    /// Who they say that they are, which nobody has verified.
    pub actor: Option<Arc<str>>,
    /// Why they want it, in their words.
    pub reason: Option<Arc<str>>,
}

impl From<&str> for Author {
    fn from(peer: &str) -> Author {
        Author { peer: peer.into(), actor: None, reason: None }
    }
}

/// As the log names them: what nobody has verified in brackets.
impl Display for Author {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.actor {
            None => f.write_str(&self.peer),
            Some(actor) => write!(f, "{} ({actor})", self.peer),
        }
    }
}

/// Who wanted something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Who, and why.
    pub by: Author,
    /// When, by the clock of the machine.
    pub at: SystemTime,
}

impl Stamp {
    /// Now.
    pub fn now(by: &Author) -> Stamp {
        Stamp { by: by.clone(), at: clock::wall() }
    }
}
