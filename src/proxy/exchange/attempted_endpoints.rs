//! The backends that one request was attempted at, and how the last one failed.

use super::super::failure::Failure;
use super::super::worker_service::WorkerSnapshot;
use super::Attempt;
use crate::model::EndpointId;

/// Limit of attempts for one request.
const MAX_ATTEMPTS: usize = 8;

/// The endpoints of failed attempts. They are kept by id, as their indices change between
/// snapshots.
pub struct AttemptedEndpoints {
    endpoints: Vec<EndpointId>,
    last: Failure,
    /// The request was sent to a backend that refused it.
    resent: bool,
}

impl AttemptedEndpoints {
    pub fn new() -> AttemptedEndpoints {
        AttemptedEndpoints { endpoints: Vec::new(), last: Failure::NoBackend, resent: false }
    }

    /// Records a failed attempt.
    pub fn failed(&mut self, attempt: &Attempt, failure: Failure) {
        self.endpoints.push(attempt.pool().endpoint().id());
        self.last = failure;
        self.resent |= attempt.is_sent();
    }

    /// Records an attempt at a backend that does not implement the method.
    pub fn passed_over(&mut self, attempt: &Attempt) {
        self.endpoints.push(attempt.pool().endpoint().id());
        self.last = Failure::NoBackend;
    }

    /// Whether there was no attempt yet.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// The failure to report if there is no other backend.
    pub fn last_failure(&self) -> Failure {
        self.last
    }

    /// Whether the last backend refused the stream unprocessed.
    pub fn was_refused(&self) -> bool {
        self.last == Failure::BackendRefused
    }

    /// Whether the request was sent before, so that it is not retried again.
    pub fn is_resent(&self) -> bool {
        self.resent
    }

    pub fn is_full(&self) -> bool {
        self.endpoints.len() == MAX_ATTEMPTS
    }

    /// Their indices in `view`.
    pub fn indices(&self, view: &WorkerSnapshot) -> Indices {
        let mut indices = Indices::default();
        if !self.endpoints.is_empty() {
            let tried = |index: &usize| {
                view.endpoint(*index).is_some_and(|endpoint| self.endpoints.contains(&endpoint))
            };
            (0..view.pools.len()).filter(tried).for_each(|index| indices.push(index));
        }
        indices
    }
}

/// A fixed-capacity list of indices.
#[derive(Default)]
pub struct Indices {
    indices: [usize; MAX_ATTEMPTS],
    len: usize,
}

impl Indices {
    fn push(&mut self, index: usize) {
        if let Some(slot) = self.indices.get_mut(self.len) {
            *slot = index;
            self.len += 1;
        }
    }

    pub fn as_slice(&self) -> &[usize] {
        self.indices.get(..self.len).unwrap_or_default()
    }
}
