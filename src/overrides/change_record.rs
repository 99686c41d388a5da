//! Record of a requested change, accepted or refused: log, audit, history and journal are views of
//! it.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Author, Expiry, FieldChange, Provenance};
use crate::text::listed;

/// Maximum length of a name; longer ones are truncated.
const NAME_CHARS: usize = 128;

/// Numbers the records of this process.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// The author of what ends because it is no longer configured.
const CONFIGURATION: &str = "the configuration";

/// What a change applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A service by name.
    Service(String),
    /// The split of a route by the route's name.
    Route(String),
}

impl Subject {
    /// The service of this name.
    pub fn service(name: &str) -> Subject {
        Subject::Service(name.chars().take(NAME_CHARS).collect())
    }

    /// The split of the route of this name.
    pub fn route(name: &str) -> Subject {
        Subject::Route(name.chars().take(NAME_CHARS).collect())
    }

    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Subject::Service(name) | Subject::Route(name) => name,
        }
    }
}

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A change by an operator.
    Change,
    /// What operators wanted has ended, as it is no longer configured.
    Ended,
    /// The subject is no longer configured, and all that operators wanted of it has ended.
    Gone,
}

/// Record of a requested change and its result.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeRecord {
    /// Sequence number: since the process started, or since the journal was begun.
    pub sequence: u64,
    /// What is recorded.
    pub kind: RecordKind,
    /// Who requested it, when and why.
    pub provenance: Provenance,
    /// What it applies to.
    pub subject: Subject,
    /// The requested change.
    pub change: String,
    /// Old values; empty if it was refused.
    pub old: String,
    /// New values; empty if it was refused.
    pub new: String,
    /// The fields it has edited.
    pub fields: Vec<FieldChange>,
    /// When it reverts by itself, if ever.
    pub until: Option<Expiry>,
    /// Revision of the subject afterwards; `None` if the subject is unknown.
    pub revision: Option<u64>,
    /// `Ok` if it was accepted, or why it was refused.
    pub result: Result<(), String>,
}

impl ChangeRecord {
    /// A new record without a result.
    fn asked(provenance: Provenance, subject: Subject, change: &impl Display) -> ChangeRecord {
        ChangeRecord {
            sequence: ChangeRecord::next_sequence(),
            kind: RecordKind::Change,
            provenance,
            subject,
            change: change.to_string(),
            old: String::new(),
            new: String::new(),
            fields: Vec::new(),
            until: None,
            revision: None,
            result: Ok(()),
        }
    }

    /// Record of an accepted change from `old` to `new`, which made `revision`.
    pub fn made(
        provenance: Provenance,
        subject: Subject,
        change: &impl Display,
        (old, new): (String, String),
        revision: u64,
    ) -> ChangeRecord {
        let asked = ChangeRecord::asked(provenance, subject, change);
        ChangeRecord { old, new, revision: Some(revision), ..asked }
    }

    /// Record of a refused change; the subject stays at `revision`.
    pub fn refused(
        provenance: Provenance,
        subject: Subject,
        change: &impl Display,
        error: &str,
        revision: Option<u64>,
    ) -> ChangeRecord {
        let asked = ChangeRecord::asked(provenance, subject, change);
        ChangeRecord { revision, result: Err(error.to_owned()), ..asked }
    }

    /// Record of settings that have ended, as the subject, which stays at `revision`, has these
    /// fields no more.
    pub fn ended(subject: &Subject, fields: Vec<FieldChange>, revision: u64) -> ChangeRecord {
        let names = fields.iter().map(|change| change.field.to_string()).collect();
        let provenance = Provenance::now(&Author::from(CONFIGURATION));
        let subject = subject.clone();
        let asked = ChangeRecord::asked(provenance, subject, &"no longer configured");
        let (kind, old) = (RecordKind::Ended, listed(names));
        ChangeRecord { kind, old, fields, revision: Some(revision), ..asked }
    }

    /// Record of settings whose time is over; the subject stays at `revision`.
    pub fn over(subject: Subject, fields: String, revision: u64) -> ChangeRecord {
        let provenance = Provenance::now(&Author::from(""));
        let asked = ChangeRecord::asked(provenance, subject, &"its time is over");
        let (kind, old) = (RecordKind::Ended, fields);
        ChangeRecord { kind, old, revision: Some(revision), ..asked }
    }

    /// Record of a subject that is no longer configured; `revision` is its last.
    pub fn gone(subject: &Subject, revision: u64) -> ChangeRecord {
        let ended = ChangeRecord::ended(subject, Vec::new(), revision);
        ChangeRecord { kind: RecordKind::Gone, ..ended }
    }

    /// With the fields it has edited, and when that is over.
    pub fn editing(self, fields: Vec<FieldChange>, until: Option<Expiry>) -> ChangeRecord {
        ChangeRecord { fields, until, ..self }
    }

    /// The number of the next record.
    pub fn next_sequence() -> u64 {
        SEQUENCE.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Numbers later records from above this.
    pub fn number_above(sequence: u64) {
        SEQUENCE.fetch_max(sequence, Ordering::Relaxed);
    }

    /// Who made it, and why, in words.
    pub fn author(&self) -> String {
        let by = &self.provenance.by;
        let reason = by.reason.as_ref().map(|reason| format!(" ({reason})"));
        format!("by {by}{}", reason.unwrap_or_default())
    }

    /// Writes the record to the log.
    pub fn log(&self) {
        let ChangeRecord { sequence, provenance, change, old, new, revision, .. } = self;
        let until = self.until.map(|until| prost_types::Timestamp::from(until.wall).to_string());
        let (service, route) = match &self.subject {
            Subject::Service(name) => (Some(&**name), None),
            Subject::Route(name) => (None, Some(&**name)),
        };
        let (by, reason) = (provenance.by.to_string(), provenance.by.reason.as_deref());
        match &self.result {
            Ok(()) => {
                let before = revision.map(|revision| revision.saturating_sub(1));
                tracing::info!(
                    sequence,
                    service,
                    route,
                    by,
                    reason,
                    change,
                    old,
                    new,
                    revision,
                    before,
                    until,
                    "change made"
                );
            }
            Err(error) => tracing::warn!(
                sequence,
                service,
                route,
                by,
                reason,
                change,
                revision,
                error,
                "change refused"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_numbered_in_order_and_stay_short() {
        let provenance = || Provenance::now(&Author::from("test"));
        let made = ChangeRecord::made(
            provenance(),
            Subject::service("orders"),
            &"drain",
            ("a:1=1".into(), "a:1=1 drained".into()),
            7,
        );
        let name = "x".repeat(1000);
        let refused =
            ChangeRecord::refused(provenance(), Subject::route(&name), &"set", "no", None);
        assert!(made.sequence < refused.sequence);
        assert_eq!((made.revision, &made.result), (Some(7), &Ok(())));
        assert_eq!((refused.revision, &refused.result), (None, &Err("no".into())));
        assert_eq!(refused.subject, Subject::Route("x".repeat(NAME_CHARS)));
    }
}
