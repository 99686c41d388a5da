//! The backends that have failed one request, and how the last of them did.

use super::super::reject::Failure;
use super::super::target::View;
use super::Attempt;
use crate::model::EndpointId;

/// Backends that one request is offered to.
const MOST_TRIES: usize = 8;

/// The backends that a request was offered to in vain. They are known by themselves, since a
/// snapshot that is newer has them elsewhere, or not at all.
pub struct Tried {
    endpoints: Vec<EndpointId>,
    last: Failure,
    /// A backend had the request before, and has given it back.
    resent: bool,
}

impl Tried {
    pub fn none() -> Tried {
        Tried { endpoints: Vec::new(), last: Failure::NoBackend, resent: false }
    }

    /// Notes how an attempt has failed.
    pub fn failed(&mut self, attempt: &Attempt, failure: Failure) {
        self.endpoints.push(attempt.pool().endpoint().id());
        self.last = failure;
        self.resent |= attempt.is_sent();
    }

    /// Why the request is refused if there is no other backend for it.
    pub fn last_failure(&self) -> Failure {
        self.last
    }

    /// Whether the last one has given the request back.
    pub fn was_refused(&self) -> bool {
        self.last == Failure::BackendRefused
    }

    /// Whether a backend had the request before the one that it is offered to now.
    pub fn is_resent(&self) -> bool {
        self.resent
    }

    pub fn is_full(&self) -> bool {
        self.endpoints.len() == MOST_TRIES
    }

    /// Where they are in `view`.
    pub fn indices(&self, view: &View) -> Indices {
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

/// A few indices.
#[derive(Default)]
pub struct Indices {
    indices: [usize; MOST_TRIES],
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
