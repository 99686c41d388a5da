//! When a backend was last taken out, or came back.

use crate::model::{Endpoint, Time};

/// When a backend was last taken out, or came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Since when it has been in, or out.
    pub since: Time,
    /// When its requests in flight are cut off, if it is drained with a limit.
    pub limit: Option<Time>,
    /// Requests that had been cut off before.
    pub cut_before: u64,
}

impl Turn {
    /// Taken out, or back, at `now`.
    pub(super) fn new(endpoint: &Endpoint, now: Time) -> Turn {
        Turn { since: now, limit: None, cut_before: endpoint.cut() }
    }
}
