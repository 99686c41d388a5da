//! The backends that one request was attempted at, and how the last one failed.

use std::cell::Cell;
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
    last: Cell<Failure>,
    /// The request was sent to a backend that refused it.
    resent: bool,
    /// A backend refused the request, and was picked again on another connection.
    refused_once: bool,
    /// A backend may be picked again if no other is left.
    repeats: bool,
    /// Until when the request waits for a backend to be up again; zero if it does not wait.
    waits_until: Time,
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
            last: Cell::new(Failure::NoBackend),
            resent: false,
            refused_once: false,
            repeats: false,
            waits_until: Time::ZERO,
        }
    }

    /// Records a failed attempt.
    pub fn failed(&mut self, attempt: &Attempt, failure: Failure) {
        let endpoint = attempt.pool().endpoint();
        let down = failure == Failure::Connect && endpoint.outage().is_down();
        self.endpoints.push(AttemptedEndpoint { id: endpoint.id(), down });
        self.last.set(failure);
        self.resent |= attempt.is_sent();
        self.repeats = failure == Failure::BackendRefused;
    }

    /// Records that the backend refused the request, and is to be asked again first.
    pub fn refused_once(&mut self) {
        self.last.set(Failure::BackendRefused);
        self.refused_once = true;
    }

    /// Whether a backend that refused the request was picked again.
    pub fn was_refused_once(&self) -> bool {
        self.refused_once
    }

    /// Records a failed attempt that the route's policy retries. If no other backend is left, it may
    /// be asked again.
    pub fn retried(&mut self, attempt: &Attempt) {
        let id = attempt.pool().endpoint().id();
        self.endpoints.retain(|tried| tried.id != id);
        self.endpoints.push(AttemptedEndpoint { id, down: false });
        self.last.set(Failure::NoBackend);
        self.repeats = true;
    }

    /// Records an attempt in flight, so that further attempts use other backends.
    pub fn begun(&mut self, attempt: &Attempt) {
        let id = attempt.pool().endpoint().id();
        self.endpoints.retain(|tried| tried.id != id);
        self.endpoints.push(AttemptedEndpoint { id, down: false });
        self.repeats = false;
    }

    /// Records an attempt at a backend that does not implement the method. One that may be asked
    /// again still may.
    pub fn passed_over(&mut self, attempt: &Attempt) {
        let id = attempt.pool().endpoint().id();
        self.endpoints.push(AttemptedEndpoint { id, down: false });
        self.last.set(Failure::NoBackend);
    }

    /// Forgets all attempts, so that every backend may be picked again.
    pub fn forget(&mut self) {
        self.endpoints.clear();
        self.waits_until = Time::ZERO;
    }

    /// Whether there was no attempt yet.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// The failure to report if there is no other backend.
    pub fn last_failure(&self) -> Failure {
        self.last.get()
    }

    /// Records that every backend that is left has as many calls in flight as it may have.
    pub fn note_full(&self) {
        self.last.set(Failure::Overloaded);
    }

    /// Whether a backend may be asked again if no other is left.
    pub fn may_repeat(&self) -> bool {
        self.repeats
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
        let unreachable = matches!(
            self.last.get(),
            Failure::Connect | Failure::NoBackend | Failure::BackendRefused
        );
        let down = view.snapshot.recovers || self.endpoints.iter().any(|it| it.down);
        unreachable && down && !self.is_full()
    }

    /// Until when the request waits: `timeout` after its first wait began.
    pub fn waits_until(&mut self, now: Time, timeout: Duration) -> Time {
        if self.waits_until == Time::ZERO {
            self.waits_until = now + timeout;
        }
        self.waits_until
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
