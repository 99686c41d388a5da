//! What a service goes over to next. It is made away from the thread that answers people: with ten
//! thousand backends all of it takes long, and not the picker alone.

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

/// A change with its conditions, who wants it, and the place for the answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) change: Change,
    pub(super) conditions: Conditions,
    pub(super) by: Author,
    pub(super) answer: oneshot::Sender<Result<u64, ChangeError>>,
}

/// A change that was decided on, and is answered once it is in effect.
pub(super) struct Decided {
    pub(super) answer: oneshot::Sender<Result<u64, ChangeError>>,
    pub(super) result: Result<u64, ChangeError>,
    pub(super) record: ChangeRecord,
}

/// What a service is when it is to go over to something else.
pub(super) struct Now {
    pub(super) desired: Desired,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) rng: fastrand::Rng,
    /// The configuration has it no more.
    pub(super) retired: bool,
}

/// What a service goes over to next.
pub(super) struct Next {
    pub(super) desired: Desired,
    pub(super) snapshot: Arc<Snapshot>,
    /// What operators want otherwise than the configuration has it.
    pub(super) overridden: Arc<[Overridden]>,
    /// What its endpoints had counted before.
    pub(super) counts: Counts,
    /// Backends that it has no more.
    pub(super) gone: Vec<Backend>,
}

impl Now {
    /// Decides on these changes, one after the other; and what is next if any of them is made.
    pub(super) fn decide(self, asked: Vec<Asked>) -> (Vec<Decided>, Option<Next>) {
        let mut desired = self.desired.clone();
        // Who has given up must not be surprised by the change later on.
        let waiting = asked.into_iter().filter(|asked| !asked.answer.is_closed());
        let decided = waiting.map(|asked| decide(asked, &mut desired, self.retired)).collect();
        let changed = desired.revision != self.desired.revision;
        (decided, changed.then(|| self.next(desired)))
    }

    /// Makes what is `desired` the next generation.
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

/// Makes one change in `desired`, or none.
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
