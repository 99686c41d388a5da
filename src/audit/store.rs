//! A store with an audit before and after it.

use std::sync::Arc;

use super::entry::{Entry, Event};
use super::writer::Audit;
use crate::overrides::{
    ChangeRecord, Kept, KeptState, NotKept, RecordKind, Retired, Store, Subject,
};

/// Keeps changes in another store, with the audit before and after.
#[derive(Debug)]
pub struct AuditedStore {
    store: Arc<dyn Store>,
    audit: Arc<Audit>,
}

impl AuditedStore {
    /// `store`, with `audit`.
    pub fn new(store: Arc<dyn Store>, audit: Arc<Audit>) -> AuditedStore {
        AuditedStore { store, audit }
    }
}

impl Store for AuditedStore {
    fn lasts(&self) -> bool {
        self.store.lasts()
    }

    fn take_kept(&self, subject: &Subject) -> Option<KeptState> {
        self.store.take_kept(subject)
    }

    fn subjects(&self) -> Vec<Subject> {
        self.store.subjects()
    }

    fn retired(&self) -> Retired {
        self.store.retired()
    }

    fn holds(&self, subject: &Subject, sequence: u64, revision: Option<u64>) -> Option<bool> {
        self.store.holds(subject, sequence, revision)
    }

    fn keep(&self, records: Vec<Arc<ChangeRecord>>) -> Kept {
        let (changes, ends): (Vec<_>, Vec<_>) =
            records.iter().cloned().partition(|record| record.kind == RecordKind::Change);
        // What ends as it is no longer configured is nobody's change, and has ended in any case.
        ends.iter().for_each(|record| self.tell(record));
        if changes.is_empty() {
            return self.store.keep(records);
        }
        let (store, audit) = (Arc::clone(&self.store), Arc::clone(&self.audit));
        Box::pin(async move {
            let entries = |event: Event, error: Option<&NotKept>| {
                let entry = |record: &Arc<ChangeRecord>| {
                    let entry = Entry::of(record, event);
                    match error {
                        Some(error) => entry.because(&error.to_string()),
                        None => entry,
                    }
                };
                changes.iter().map(entry).collect::<Vec<Entry>>()
            };
            audit.intend(entries(Event::Intent, None)).await?;
            let kept = store.keep(records).await;
            let results = match &kept {
                Ok(()) => entries(Event::Done, None),
                Err(error) => entries(Event::Failed, Some(error)),
            };
            audit.conclude(results).await;
            kept
        })
    }

    fn tell(&self, record: &ChangeRecord) {
        self.store.tell(record);
        let event = if record.result.is_err() { Event::Refused } else { Event::Ended };
        self.audit.note(Entry::of(record, event));
    }
}
