//! A change that was asked for, as one record: whatever tells of changes is a view of it.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Stamp;

/// How much of a name is kept, however long the request was.
const NAME_CHARS: usize = 128;

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The service of this name.
    Service(String),
    /// The split of the route of this name.
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

/// A change that was asked for, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeRecord {
    /// Its number among all that were asked for since the process started.
    pub sequence: u64,
    /// Who asked for it, when and why.
    pub stamp: Stamp,
    /// What it is about.
    pub subject: Subject,
    /// What was asked for.
    pub change: String,
    /// What it has changed, as that was before; empty for one that was refused.
    pub old: String,
    /// What that is now.
    pub new: String,
    /// The revision at which the subject is afterwards, if there is such a subject.
    pub revision: Option<u64>,
    /// Done, or why not.
    pub result: Result<(), String>,
}

impl ChangeRecord {
    /// One that `stamp` asks for, and that nothing has come of yet.
    fn asked(stamp: Stamp, subject: Subject, change: &impl Display) -> ChangeRecord {
        static BEFORE: AtomicU64 = AtomicU64::new(0);
        ChangeRecord {
            sequence: BEFORE.fetch_add(1, Ordering::Relaxed) + 1,
            stamp,
            subject,
            change: change.to_string(),
            old: String::new(),
            new: String::new(),
            revision: None,
            result: Ok(()),
        }
    }

    /// One that was made: it has turned `old` into `new`, which is `revision`.
    pub fn made(
        stamp: Stamp,
        subject: Subject,
        change: &impl Display,
        (old, new): (String, String),
        revision: u64,
    ) -> ChangeRecord {
        let asked = ChangeRecord::asked(stamp, subject, change);
        ChangeRecord { old, new, revision: Some(revision), ..asked }
    }

    /// One that was refused: the subject, if there is one, stays at `revision`.
    pub fn refused(
        stamp: Stamp,
        subject: Subject,
        change: &impl Display,
        error: &str,
        revision: Option<u64>,
    ) -> ChangeRecord {
        let asked = ChangeRecord::asked(stamp, subject, change);
        ChangeRecord { revision, result: Err(error.to_owned()), ..asked }
    }

    /// Its line in the log.
    pub fn log(&self) {
        let ChangeRecord { sequence, stamp, change, old, new, revision, .. } = self;
        let (service, route) = match &self.subject {
            Subject::Service(name) => (Some(&**name), None),
            Subject::Route(name) => (None, Some(&**name)),
        };
        let (by, reason) = (stamp.by.to_string(), stamp.by.reason.as_deref());
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
        let stamp = || Stamp::now(&Author::from("test"));
        let made = ChangeRecord::made(
            stamp(),
            Subject::service("orders"),
            &"drain",
            ("a:1=1".into(), "a:1=1 drained".into()),
            7,
        );
        let name = "x".repeat(1000);
        let refused = ChangeRecord::refused(stamp(), Subject::route(&name), &"set", "no", None);
        assert!(made.sequence < refused.sequence);
        assert_eq!((made.revision, &made.result), (Some(7), &Ok(())));
        assert_eq!((refused.revision, &refused.result), (None, &Err("no".into())));
        assert_eq!(refused.subject, Subject::Route("x".repeat(NAME_CHARS)));
    }
}
