//! Transition of a service to its next state: changes are decided and the snapshot is built off the
//! control thread, since with ten thousand backends each step of it is slow, not the picker alone.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::change::{Change, ChangeError, Terms};
use super::desired::{Backend, Changed, Desired};
use super::history::OutcomeCounts;
use super::{OverrideView, Snapshot};
use crate::model::EndpointId;
use crate::overrides::{Author, ChangeRecord, NotKept, Provenance, Store, Subject};

/// A change requested by an operator, and the channel for the result.
#[derive(Debug)]
pub(super) struct ChangeRequest {
    pub(super) change: Change,
    pub(super) terms: Terms,
    pub(super) by: Author,
    pub(super) answer: oneshot::Sender<Result<u64, ChangeError>>,
}

/// A change that was accepted or refused. The answer is sent once it is kept and in effect.
pub(super) struct DecidedChange {
    answer: oneshot::Sender<Result<u64, ChangeError>>,
    result: Result<u64, ChangeError>,
    record: Arc<ChangeRecord>,
    change: Change,
    /// The store has had it, and knows what became of it.
    was_kept: bool,
}

impl DecidedChange {
    /// The record, if the change was accepted.
    pub(super) fn accepted(&self) -> Option<&Arc<ChangeRecord>> {
        self.result.is_ok().then_some(&self.record)
    }

    /// The backend that it heals, if it does.
    pub(super) fn heals(&self) -> Option<String> {
        match &self.change {
            Change::Heal(address) if self.result.is_ok() => Some(address.clone()),
            _ => None,
        }
    }

    /// Whether it ejects a backend.
    pub(super) fn ejects(&self) -> bool {
        self.result.is_ok() && matches!(self.change, Change::Eject { .. })
    }

    /// The same, refused because it could not be kept; the service stays at `revision`.
    pub(super) fn not_kept(mut self, why: &NotKept, revision: u64) -> DecidedChange {
        self.was_kept = self.accepted().is_some();
        let ChangeRecord { provenance, subject, .. } = &*self.record;
        let (provenance, subject, text) = (provenance.clone(), subject.clone(), why.to_string());
        let refused =
            ChangeRecord::refused(provenance, subject, &self.change, &text, Some(revision));
        (self.record, self.result) = (Arc::new(refused), Err(why.clone().into()));
        self
    }

    /// Logs the change, tells the store if it was refused before, and answers.
    pub(super) fn answer(self, store: &dyn Store) {
        if self.result.is_err() && !self.was_kept {
            store.tell(&self.record);
        }
        self.record.log(); // here, since the caller may be gone: every change is logged
        let _ = self.answer.send(self.result);
    }
}

/// Copy of the writer's state from which the next one is built.
pub(super) struct TransitionBuilder {
    pub(super) desired: Desired,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) rng: fastrand::Rng,
    /// The service is no longer configured.
    pub(super) retired: bool,
}

/// The next state of a service, ready to be published.
pub(super) struct Transition {
    pub(super) desired: Desired,
    pub(super) snapshot: Arc<Snapshot>,
    /// Overrides by operators that are in effect.
    pub(super) overrides: Arc<[OverrideView]>,
    /// Baseline for counting requests since this revision.
    pub(super) counts: OutcomeCounts,
    /// Backends that are removed.
    pub(super) removed: Vec<Backend>,
}

impl TransitionBuilder {
    /// Applies the changes in order; returns the next state, if any was accepted.
    pub(super) fn decide(
        self,
        requests: Vec<ChangeRequest>,
    ) -> (Vec<DecidedChange>, Option<Desired>) {
        let mut desired = self.desired.clone();
        // A caller that has given up does not expect its change to take effect later.
        let waiting = requests.into_iter().filter(|request| !request.answer.is_closed());
        let decided =
            waiting.map(|request| apply_change(request, &mut desired, self.retired)).collect();
        let changed = desired.revision != self.desired.revision;
        (decided, changed.then_some(desired))
    }

    /// Builds the next generation from `desired`.
    pub(super) fn build(mut self, desired: Desired) -> Transition {
        let generation = self.snapshot.generation + 1;
        let snapshot = Snapshot::of(&desired, generation, Some(&self.snapshot), &mut self.rng);
        let id = |backend: &Backend| backend.endpoint.id();
        let stay: HashSet<EndpointId> = desired.backends.iter().map(id).collect();
        let before = self.desired.backends.iter();
        let removed = before.filter(|backend| !stay.contains(&id(backend))).cloned().collect();
        Transition {
            snapshot: Arc::new(snapshot),
            overrides: desired.overridden().into(),
            // Only a revision begins a baseline, and reading it is slow.
            counts: match desired.revision == self.desired.revision {
                true => OutcomeCounts::of(&[]),
                false => OutcomeCounts::of(&desired.endpoints()),
            },
            removed,
            desired,
        }
    }
}

/// Applies one change to `desired`, or leaves it as it is and records why.
fn apply_change(request: ChangeRequest, desired: &mut Desired, retired: bool) -> DecidedChange {
    let ChangeRequest { change, terms, by, answer } = request;
    let service = desired.spec.name.clone();
    let (provenance, subject) = (Provenance::now(&by), Subject::service(&service));
    let changed = match retired {
        true => Err(ChangeError::Gone { service }),
        false => desired.changed(&change, terms, &provenance),
    };
    let (result, record) = match changed {
        Ok(Changed { desired: changed, fields, until }) => {
            let difference = desired.difference(&changed);
            *desired = changed;
            let revision = desired.revision;
            let made = ChangeRecord::made(provenance, subject, &change, difference, revision);
            let record = Arc::new(made.editing(fields, until));
            desired.remember(&record);
            (Ok(revision), record)
        }
        Err(error) => {
            let (text, at) = (error.to_string(), Some(desired.revision));
            let refused = ChangeRecord::refused(provenance, subject, &change, &text, at);
            (Err(error), Arc::new(refused))
        }
    };
    DecidedChange { answer, result, record, change, was_kept: false }
}
