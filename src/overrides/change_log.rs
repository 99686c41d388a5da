//! The last changes of a service or a split, and what undoes one of them.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::{ChangeRecord, Edit, Field, FieldChange, RecordKind};
use crate::model::Time;

/// Maximum of changes that are remembered.
const MAX_RECORDS: usize = 100;
/// Maximum of fields over all of them, at some 200 bytes each. With changes of very many backends
/// fewer are remembered, but always the last one.
const MAX_FIELDS: usize = 20_000;

/// The last changes, the oldest first, without gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangeLog {
    records: VecDeque<Arc<ChangeRecord>>,
}

/// Why a change cannot be reverted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotRevert {
    /// It is not remembered, or has never been made.
    #[error("revision {revision} cannot be reverted: {remembered}")]
    Unknown {
        /// The revision.
        revision: u64,
        /// What can be, in words.
        remembered: String,
    },
    /// It has reverted by itself.
    #[error("the time of revision {revision} is over: it has reverted by itself")]
    Over {
        /// The revision.
        revision: u64,
    },
    /// A later change has edited a field of it.
    #[error(
        "revision {later}, made {by}, has edited {field} after revision {revision}: revert that one \
         first, or set what you want"
    )]
    Edited {
        /// The revision that is to be reverted.
        revision: u64,
        /// The revision that has come after it.
        later: u64,
        /// Who has made that.
        by: String,
        /// What both have edited.
        field: String,
    },
    /// What it was about is no longer configured.
    #[error("what revision {revision} has changed has ended: the configuration has it no more")]
    Ended {
        /// The revision.
        revision: u64,
    },
}

impl ChangeLog {
    /// Adds a change.
    pub fn push(&mut self, record: Arc<ChangeRecord>) {
        self.records.push_back(record);
        while self.records.len() > 1 && self.exceeds_limits() {
            self.records.pop_front();
        }
    }

    fn exceeds_limits(&self) -> bool {
        let fields: usize = self.records.iter().map(|record| record.fields.len()).sum();
        self.records.len() > MAX_RECORDS || fields > MAX_FIELDS
    }

    /// The changes, the oldest first.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &Arc<ChangeRecord>> {
        self.records.iter()
    }

    /// The edits that undo the change which made `revision`.
    ///
    /// # Errors
    /// It is not remembered, or over, or a later change has edited the same field.
    pub fn revert(&self, revision: u64, now: Time) -> Result<Vec<Edit>, CannotRevert> {
        let made = |record: &&Arc<ChangeRecord>| record.kind == RecordKind::Change;
        let mut later = self.records.iter();
        let found = later.by_ref().filter(made).find(|record| record.revision == Some(revision));
        let Some(record) = found else { return Err(self.unknown(revision)) };
        let over = |record: &ChangeRecord| record.until.is_some_and(|until| until.is_over(now));
        if over(record) {
            return Err(CannotRevert::Over { revision });
        }
        let fields = record.fields.iter().filter(|change| !self.is_as_left(record, change, now));
        let fields: HashSet<&Field> = fields.map(|change| &change.field).collect();
        // The last one is told, as it is the first to be reverted.
        for after in later.rev().filter(|after| !over(after)) {
            let Some(both) = after.fields.iter().find(|change| fields.contains(&change.field))
            else {
                continue;
            };
            return Err(match after.kind {
                RecordKind::Change => CannotRevert::Edited {
                    revision,
                    later: after.revision.unwrap_or_default(),
                    by: after.author(),
                    field: both.field.to_string(),
                },
                RecordKind::Ended | RecordKind::Gone => CannotRevert::Ended { revision },
            });
        }
        let edit = |change: &FieldChange| Edit {
            field: change.field.clone(),
            value: None,
            before: change.from.clone(),
        };
        Ok(record.fields.iter().map(edit).collect())
    }

    /// Whether a field is again as `record` has left it: what has edited it since is reverted.
    fn is_as_left(&self, record: &ChangeRecord, made: &FieldChange, now: Time) -> bool {
        let over = |it: &ChangeRecord| it.until.is_some_and(|until| until.is_over(now));
        let after = self.records.iter().rev().take_while(|it| it.sequence != record.sequence);
        let mut edits = after
            .filter(|it| it.kind == RecordKind::Change && !over(it))
            .filter_map(|it| it.fields.iter().find(|change| change.field == made.field));
        edits.next().is_some_and(|last| last.to == made.to)
    }

    fn unknown(&self, revision: u64) -> CannotRevert {
        let made = self.records.iter().filter(|record| record.kind == RecordKind::Change);
        let revisions: Vec<u64> = made.filter_map(|record| record.revision).collect();
        let remembered = match &*revisions {
            [] => "no change is remembered".into(),
            [one] => format!("revision {one} is the only change that is remembered"),
            [first, .., last] => {
                format!("the changes that are remembered have made revisions {first} to {last}")
            }
        };
        CannotRevert::Unknown { revision, remembered }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::{Author, Expiry, Provenance, Setting, Subject, Value};
    use super::*;
    use crate::model::Address;

    fn weight(address: &str) -> Field {
        Field::Weight(Address::parse(address).unwrap())
    }

    fn setting(weight: u32) -> Option<Arc<Setting>> {
        Some(Arc::new(Setting {
            value: Some(Value::Weight(weight)),
            provenance: Provenance::now(&Author::from("test")),
            since: Time::ZERO,
            revision: 1,
            place: (1, 0),
            until: None,
            under: None,
            instance: None,
        }))
    }

    /// A change of these fields from weight 1 to 2.
    fn record(revision: u64, fields: &[&str], seconds: Option<u64>) -> Arc<ChangeRecord> {
        let provenance = Provenance::now(&Author::from("ann"));
        let record = ChangeRecord::made(
            provenance,
            Subject::service("orders"),
            &"set",
            (String::new(), String::new()),
            revision,
        );
        let change =
            |at: &&str| FieldChange { field: weight(at), from: setting(1), to: setting(2) };
        let until = seconds.map(|seconds| {
            Expiry::after(Duration::from_secs(seconds), Time::ZERO, SystemTime::UNIX_EPOCH)
        });
        Arc::new(record.editing(fields.iter().map(change).collect(), until))
    }

    #[test]
    fn one_change_is_undone_unless_a_later_one_has_edited_the_same() {
        let (mut log, first) = (ChangeLog::default(), record(2, &["a:1", "b:1"], None));
        log.push(Arc::clone(&first));
        log.push(record(3, &["c:1"], None));
        let edits = log.revert(2, Time::ZERO).unwrap();
        assert_eq!(edits.len(), 2);
        assert_eq!((&edits[0].field, &edits[0].before), (&weight("a:1"), &first.fields[0].from));
        log.push(record(4, &["B:1"], Some(60)));
        let refused = log.revert(2, Time::ZERO).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "revision 4, made by ann, has edited the weight of `B:1` after revision 2: revert that \
             one first, or set what you want"
        );
        assert!(log.revert(4, Time::ZERO).is_ok());
        // What is over has left no trace.
        let later = Time::from_millis(60_000);
        assert!(log.revert(2, later).is_ok());
        assert_eq!(log.revert(4, later), Err(CannotRevert::Over { revision: 4 }));
        let refused = log.revert(9, later).unwrap_err().to_string();
        assert!(refused.ends_with("have made revisions 2 to 4"), "{refused}");
        let ended = ChangeRecord::ended(&Subject::service("orders"), Vec::new(), 4);
        let fields = vec![FieldChange { field: weight("a:1"), from: setting(2), to: None }];
        log.push(Arc::new(ChangeRecord { fields, ..ended }));
        assert_eq!(log.revert(2, later), Err(CannotRevert::Ended { revision: 2 }));
    }

    #[test]
    fn what_has_come_after_and_is_reverted_is_in_nobodys_way() {
        let of = |revision, from, to| {
            let fields = vec![FieldChange { field: weight("a:1"), from, to }];
            Arc::new(ChangeRecord { fields, ..(*record(revision, &[], None)).clone() })
        };
        let (mut log, first, second) = (ChangeLog::default(), setting(7), setting(9));
        log.push(of(2, None, first.clone()));
        log.push(of(3, first.clone(), second.clone()));
        assert!(log.revert(2, Time::ZERO).is_err());
        log.push(of(4, second.clone(), first.clone()));
        assert_eq!(log.revert(2, Time::ZERO).unwrap()[0].before, None);
        log.push(of(5, first, second));
        assert!(log.revert(2, Time::ZERO).is_err(), "it was undone");
    }

    #[test]
    fn it_is_bounded() {
        let mut log = ChangeLog::default();
        (2..300).for_each(|revision| log.push(record(revision, &["a:1"], None)));
        assert_eq!(log.records().count(), MAX_RECORDS);
        assert_eq!(log.records().next().unwrap().revision, Some(200));
        let big = record(300, &vec!["a:1"; MAX_FIELDS], None);
        log.push(Arc::clone(&big));
        log.push(record(301, &["a:1"], None));
        assert_eq!(log.records().count(), 1);
        log.push(big);
        assert_eq!(log.records().count(), 1, "the last one stays, however large it is");
    }
}
