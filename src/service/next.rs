//! Transition of a service to its next state: changes are decided and the snapshot is built off the
//! control thread, since with ten thousand backends each step of it is slow, not the picker alone.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::change::{Change, ChangeError, Conditions};
use super::desired::{Backend, Desired};
use super::history::Counts;
use super::record::{ChangeRecord, Subject};
use super::stamp::{Author, Stamp};
use super::{Overridden, Snapshot};
use crate::model::EndpointId;

/// A change requested by an operator, and the channel for the result.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) change: Change,
    pub(super) conditions: Conditions,
    pub(super) by: Author,
    pub(super) answer: oneshot::Sender<Result<u64, ChangeError>>,
}

/// A change that was accepted or refused. The answer is sent once it is in effect.
pub(super) struct Decided {
    pub(super) answer: oneshot::Sender<Result<u64, ChangeError>>,
    pub(super) result: Result<u64, ChangeError>,
    pub(super) record: ChangeRecord,
}

/// Copy of the writer's state from which the next one is built.
pub(super) struct Now {
    pub(super) desired: Desired,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) rng: fastrand::Rng,
    /// The service is no longer configured.
    pub(super) retired: bool,
}

/// The next state of a service, ready to be published.
pub(super) struct Next {
    pub(super) desired: Desired,
    pub(super) snapshot: Arc<Snapshot>,
    /// Overrides by operators that are in effect.
    pub(super) overridden: Arc<[Overridden]>,
    /// Baseline for counting requests since this revision.
    pub(super) counts: Counts,
    /// Backends that are removed.
    pub(super) gone: Vec<Backend>,
}

impl Now {
    /// Applies the changes in order, and builds the next state if any was accepted.
    pub(super) fn decide(self, asked: Vec<Asked>) -> (Vec<Decided>, Option<Next>) {
        let mut desired = self.desired.clone();
        // A caller that has given up does not expect its change to take effect later.
        let waiting = asked.into_iter().filter(|asked| !asked.answer.is_closed());
        let decided = waiting.map(|asked| decide(asked, &mut desired, self.retired)).collect();
        let changed = desired.revision != self.desired.revision;
        (decided, changed.then(|| self.next(desired)))
    }

    /// Builds the next generation from `desired`.
    pub(super) fn next(mut self, desired: Desired) -> Next {
        let generation = self.snapshot.generation + 1;
        let snapshot = Snapshot::of(&desired, generation, Some(&self.snapshot), &mut self.rng);
        let id = |backend: &Backend| backend.endpoint.id();
        let stay: HashSet<EndpointId> = desired.backends.iter().map(id).collect();
        let before = self.desired.backends.iter();
        let gone = before.filter(|backend| !stay.contains(&id(backend))).cloned().collect();
        Next {
            snapshot: Arc::new(snapshot),
            overridden: desired.overridden().into(),
            counts: Counts::of(&desired.endpoints()),
            gone,
            desired,
        }
    }
}

/// Applies one change to `desired`, or leaves it as it is and records why.
fn decide(asked: Asked, desired: &mut Desired, retired: bool) -> Decided {
    let Asked { change, conditions, by, answer } = asked;
    let service = desired.spec.name.clone();
    let (stamp, subject) = (Stamp::now(&by), Subject::service(&service));
    let changed = match retired {
        true => Err(ChangeError::Gone { service }),
        false => desired.changed(&change, conditions, &stamp),
    };
    let (result, record) = match changed {
        Ok(changed) => {
            let difference = desired.difference(&changed);
            *desired = changed;
            let revision = desired.revision;
            (Ok(revision), ChangeRecord::made(stamp, subject, &change, difference, revision))
        }
        Err(error) => {
            let (text, at) = (error.to_string(), Some(desired.revision));
            (Err(error), ChangeRecord::refused(stamp, subject, &change, &text, at))
        }
    };
    Decided { answer, result, record }
}
