//! What operators changed: each change as one record, the settings that it left behind, and the
//! stores that keep both.
//!
//! A change edits *fields* of a service or of a route's split. What it wants of a field is a
//! [`Setting`]; one that holds for a time lies on the one before, which is back when that is over.
//! A [`ChangeRecord`] has every field that a change has edited, before and after: the log, the
//! history, what can be reverted and the journal are views of it.

mod change_log;
mod change_record;
mod expiry;
mod journal;
mod memory;
mod provenance;
mod setting;

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

pub use change_log::{CannotRevert, ChangeLog};
pub use change_record::{ChangeRecord, RecordKind, Subject};
pub use expiry::Expiry;
pub use journal::{Counters, Disk, Failure, Journal, JournalError, Lock, LogFile, SystemDisk};
pub use memory::Memory;
pub use provenance::{Author, Provenance};
pub use setting::{Edit, Field, FieldChange, Setting, TooDeep, Value, edited};

/// Resolves once changes are kept, or cannot be.
pub type Kept = Pin<Box<dyn Future<Output = Result<(), NotKept>> + Send>>;

/// Keeps what operators changed.
pub trait Store: Debug + Send + Sync {
    /// Whether what it keeps outlives the process.
    fn lasts(&self) -> bool;

    /// What an earlier process has left of a service or a route; once.
    fn take_kept(&self, _subject: &Subject) -> Option<KeptState> {
        None
    }

    /// What something is left of that nobody has taken.
    fn subjects(&self) -> Vec<Subject> {
        Vec::new()
    }

    /// Revisions above those of all services, and of all routes, that are gone.
    fn retired(&self) -> Retired {
        Retired::default()
    }

    /// Keeps these changes, in their order, before they take effect. A change that is not kept may
    /// not take effect, but for what ends as it is no longer configured: that has ended in any case.
    fn keep(&self, records: Vec<Arc<ChangeRecord>>) -> Kept;

    /// Whether it kept a change of an earlier process, before [`Store::take_kept`]; `None` where it does
    /// not know. The revision, if it is given, tells of changes that are remembered no more.
    fn holds(&self, _: &Subject, _sequence: u64, _revision: Option<u64>) -> Option<bool> {
        None
    }

    /// Told of what is not kept: a change that was refused, or what is over by itself.
    fn tell(&self, _record: &ChangeRecord) {}
}

/// What a store has kept of a service or a route.
#[derive(Clone, Debug, Default)]
pub struct KeptState {
    /// The revision.
    pub revision: u64,
    /// The settings in effect, and those below them.
    pub settings: Vec<(Field, Arc<Setting>)>,
    /// The last changes.
    pub log: ChangeLog,
}

/// The highest revisions of what is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Of services.
    pub service: u64,
    /// Of splits of routes.
    pub route: u64,
}

impl Retired {
    /// Takes in a subject that is gone.
    pub fn take_in(&mut self, subject: &Subject, revision: u64) {
        let highest = match subject {
            Subject::Service(_) => &mut self.service,
            Subject::Route(_) => &mut self.route,
        };
        *highest = revision.max(*highest);
    }
}

/// Why changes cannot be kept; says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotKept(pub String);
