//! Since when a backend is in or out of service.

use crate::model::{Endpoint, Time};

/// The current period of a backend in service, or out of it (drained or removed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServingPeriod {
    /// When it was last taken out or put back.
    pub since: Time,
    /// When its requests in flight are cut off, if it is drained with a time limit.
    pub drain_deadline: Option<Time>,
    /// Requests that had been cut off before this period.
    pub cut_before: u64,
}

impl ServingPeriod {
    /// A period that begins `now`.
    pub(super) fn new(endpoint: &Endpoint, now: Time) -> ServingPeriod {
        ServingPeriod { since: now, drain_deadline: None, cut_before: endpoint.cut() }
    }
}
