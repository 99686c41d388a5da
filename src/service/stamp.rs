//! Who wanted something, and when.

use std::sync::Arc;
use std::time::SystemTime;

use crate::clock;

/// Who wanted something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Who, as the log names them.
    pub by: Arc<str>,
    /// When, by the clock of the machine.
    pub at: SystemTime,
}

impl Stamp {
    /// Now.
    pub fn now(by: &str) -> Stamp {
        Stamp { by: by.into(), at: clock::wall() }
    }
}
