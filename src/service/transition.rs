//! Transition of a service to its next state: changes are decided and the snapshot is built off the
//! control thread, since with ten thousand backends each step of it is slow, not the picker alone.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::change::{Change, ChangeError, Preconditions};
use super::change_record::{ChangeRecord, Subject};
use super::desired::{Backend, Desired};
use super::history::OutcomeCounts;
use super::provenance::{Author, Provenance};
use super::{OverrideView, Snapshot};
use crate::model::EndpointId;

/// A change requested by an operator, and the channel for the result.
#[derive(Debug)]
pub(super) struct ChangeRequest {
    pub(super) change: Change,
    pub(super) conditions: Preconditions,
    pub(super) by: Author,
    pub(super) answer: oneshot::Sender<Result<u64, ChangeError>>,
}

/// A change that was accepted or refused. The answer is sent once it is in effect.
pub(super) struct DecidedChange {
    pub(super) answer: oneshot::Sender<Result<u64, ChangeError>>,
    pub(super) result: Result<u64, ChangeError>,
    pub(super) record: ChangeRecord,
    /// Whether it ejects a backend.
    pub(super) ejects: bool,
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
    /// Applies the changes in order, and builds the next state if any was accepted.
    pub(super) fn decide(
        self,
        requests: Vec<ChangeRequest>,
    ) -> (Vec<DecidedChange>, Option<Transition>) {
        let mut desired = self.desired.clone();
        // A caller that has given up does not expect its change to take effect later.
        let waiting = requests.into_iter().filter(|request| !request.answer.is_closed());
        let decided =
            waiting.map(|request| apply_change(request, &mut desired, self.retired)).collect();
        let changed = desired.revision != self.desired.revision;
        (decided, changed.then(|| self.build(desired)))
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
            counts: OutcomeCounts::of(&desired.endpoints()),
            removed,
            desired,
        }
    }
}

/// Applies one change to `desired`, or leaves it as it is and records why.
fn apply_change(request: ChangeRequest, desired: &mut Desired, retired: bool) -> DecidedChange {
    let ChangeRequest { change, conditions, by, answer } = request;
    let service = desired.spec.name.clone();
    let (provenance, subject) = (Provenance::now(&by), Subject::service(&service));
    let changed = match retired {
        true => Err(ChangeError::Gone { service }),
        false => desired.changed(&change, conditions, &provenance),
    };
    let (result, record) = match changed {
        Ok(changed) => {
            let difference = desired.difference(&changed);
            *desired = changed;
            let revision = desired.revision;
            (Ok(revision), ChangeRecord::made(provenance, subject, &change, difference, revision))
        }
        Err(error) => {
            let (text, at) = (error.to_string(), Some(desired.revision));
            (Err(error), ChangeRecord::refused(provenance, subject, &change, &text, at))
        }
    };
    let ejects = result.is_ok() && matches!(change, Change::Eject { .. });
    DecidedChange { answer, result, record, ejects }
}
