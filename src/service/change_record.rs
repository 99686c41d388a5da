//! Audit record of a requested change, accepted or refused.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Provenance;

/// Maximum length of a name; longer ones are truncated.
const NAME_CHARS: usize = 128;

/// What a change applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

/// Audit record of a requested change and its result.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeRecord {
    /// Sequence number since the process started.
    pub sequence: u64,
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
    /// Revision of the subject afterwards; `None` if the subject is unknown.
    pub revision: Option<u64>,
    /// `Ok` if it was accepted, or why it was refused.
    pub result: Result<(), String>,
}

impl ChangeRecord {
    /// A new record without a result.
    fn asked(provenance: Provenance, subject: Subject, change: &impl Display) -> ChangeRecord {
        static BEFORE: AtomicU64 = AtomicU64::new(0);
        ChangeRecord {
            sequence: BEFORE.fetch_add(1, Ordering::Relaxed) + 1,
            provenance,
            subject,
            change: change.to_string(),
            old: String::new(),
            new: String::new(),
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

    /// Writes the record to the log.
    pub fn log(&self) {
        let ChangeRecord { sequence, provenance, change, old, new, revision, .. } = self;
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
    use super::super::Author;
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
