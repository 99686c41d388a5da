//! The backends that one request was attempted at, and how the last one failed.

use std::time::Duration;

use super::super::failure::Failure;
use super::super::worker_snapshot::WorkerSnapshot;
use super::Attempt;
use crate::model::{EndpointId, Time};

/// Limit of attempts for one request.
const MAX_ATTEMPTS: usize = 8;

/// The endpoints of failed attempts. They are kept by id, as their indices change between
/// snapshots.
pub struct AttemptedEndpoints {
    endpoints: Vec<AttemptedEndpoint>,
    last: Failure,
    /// The request was sent to a backend that refused it.
    resent: bool,
    /// Until when the request waits for a backend to be up again, if it waits.
    waits_until: Option<Time>,
}

struct AttemptedEndpoint {
    id: EndpointId,
    /// It was down at that time.
    down: bool,
}

impl AttemptedEndpoints {
    pub fn new() -> AttemptedEndpoints {
        AttemptedEndpoints {
            endpoints: Vec::new(),
            last: Failure::NoBackend,
            resent: false,
            waits_until: None,
        }
    }

    /// Records a failed attempt.
    pub fn failed(&mut self, attempt: &Attempt, failure: Failure) {
        let endpoint = attempt.pool().endpoint();
        let down = failure == Failure::Connect && endpoint.outage().is_down();
        self.endpoints.push(AttemptedEndpoint { id: endpoint.id(), down });
        self.last = failure;
        self.resent |= attempt.is_sent();
    }

    /// Records an attempt at a backend that does not implement the method.
    pub fn passed_over(&mut self, attempt: &Attempt) {
        let id = attempt.pool().endpoint().id();
        self.endpoints.push(AttemptedEndpoint { id, down: false });
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

    /// Whether no backend is left only because some are down, so that the request may wait for one to
    /// be up again.
    pub fn may_wait(&self, view: &WorkerSnapshot) -> bool {
        let unreachable = matches!(self.last, Failure::Connect | Failure::NoBackend);
        let down = view.snapshot.recovers || self.endpoints.iter().any(|it| it.down);
        unreachable && down && !self.is_full()
    }

    /// Until when the request waits: `timeout` after its first wait began.
    pub fn waits_until(&mut self, now: Time, timeout: Duration) -> Time {
        *self.waits_until.get_or_insert(now + timeout)
    }

    /// Allows another attempt at endpoints that were down and are up in `view`. Whether there are any.
    pub fn release(&mut self, view: &WorkerSnapshot) -> bool {
        let was_down = |id| self.endpoints.iter().any(|tried| tried.down && tried.id == id);
        let members = view.pools.iter().map(|pool| pool.endpoint());
        let back = members.filter(|it| was_down(it.id()) && !it.outage().is_down());
        let back: Vec<EndpointId> = back.map(|endpoint| endpoint.id()).collect();
        self.endpoints.retain(|tried| !back.contains(&tried.id));
        !back.is_empty()
    }

    /// Their indices in `view`.
    pub fn indices(&self, view: &WorkerSnapshot) -> Indices {
        let mut indices = Indices::default();
        if !self.endpoints.is_empty() {
            let tried = |index: &usize| {
                let endpoint = view.endpoint(*index);
                endpoint.is_some_and(|id| self.endpoints.iter().any(|tried| tried.id == id))
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
