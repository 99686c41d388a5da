//! What the journal holds, in memory: what a new file is written from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use super::line;
use crate::model::Time;
use crate::overrides::{
    ChangeLog, ChangeRecord, Field, FieldChange, KeptState, RecordKind, Retired, Setting, Subject,
};

/// Fields in a line of what is in effect.
const FIELDS_A_LINE: usize = 1000;
/// Changes of all services and routes that a new file has, the last ones.
const MAX_PAST: usize = 10_000;

/// What the journal holds.
#[derive(Debug, Default)]
pub(super) struct Image {
    subjects: BTreeMap<Subject, Held>,
    pub(super) retired: Retired,
    /// The highest sequence number.
    pub(super) sequence: u64,
}

/// What it holds of a service or route.
#[derive(Debug, Default)]
struct Held {
    revision: u64,
    settings: HashMap<Field, Arc<Setting>>,
    log: ChangeLog,
}

impl Held {
    fn set(&mut self, field: &Field, setting: Option<&Arc<Setting>>) {
        match setting {
            Some(setting) => self.settings.insert(field.clone(), Arc::clone(setting)),
            None => self.settings.remove(field),
        };
    }
}

impl Image {
    /// Whether it holds anything of the subject.
    pub(super) fn has(&self, subject: &Subject) -> bool {
        self.subjects.contains_key(subject)
    }

    /// Takes in a change.
    pub(super) fn apply(&mut self, record: &Arc<ChangeRecord>) {
        let ChangeRecord { subject, kind, fields, sequence, .. } = &**record;
        let revision = record.revision.unwrap_or_default();
        self.sequence = self.sequence.max(*sequence);
        if *kind == RecordKind::Gone {
            self.retired.take_in(subject, revision);
            self.subjects.remove(subject);
            return;
        }
        let held = self.subjects.entry(subject.clone()).or_default();
        held.revision = revision.max(held.revision);
        for FieldChange { field, to, .. } in fields {
            held.set(field, to.as_ref());
        }
        held.log.push(Arc::clone(record));
    }

    /// Takes in a change of the past, for the history alone.
    pub(super) fn remember(&mut self, record: Arc<ChangeRecord>) {
        self.sequence = self.sequence.max(record.sequence);
        self.subjects.entry(record.subject.clone()).or_default().log.push(record);
    }

    /// Takes in what was in effect.
    pub(super) fn restore(
        &mut self,
        subject: Subject,
        revision: u64,
        settings: Vec<(Field, Arc<Setting>)>,
    ) {
        let held = self.subjects.entry(subject).or_default();
        held.revision = revision.max(held.revision);
        held.settings.extend(settings);
    }

    /// Takes in the header.
    pub(super) fn retire(&mut self, retired: Retired) {
        self.retired.service = retired.service.max(self.retired.service);
        self.retired.route = retired.route.max(self.retired.route);
    }

    /// All of it, by service and route.
    pub(super) fn kept(&self) -> impl Iterator<Item = (Subject, KeptState)> {
        self.subjects.iter().map(|(subject, Held { revision, settings, log })| {
            let settings = settings.iter();
            let settings = settings.map(|(field, setting)| (field.clone(), Arc::clone(setting)));
            let (revision, log) = (*revision, log.clone());
            (subject.clone(), KeptState { revision, settings: settings.collect(), log })
        })
    }

    /// The lines of a new file: what is in effect at `now`, and the last changes.
    pub(super) fn lines(&self, now: Time, wall: SystemTime) -> serde_json::Result<Vec<u8>> {
        let mut file = line::header(self.retired)?.into_bytes();
        for (subject, Held { revision, settings, .. }) in &self.subjects {
            let live =
                settings.iter().filter_map(|(field, setting)| Some((field, setting.live(now)?)));
            let live: Vec<(&Field, Arc<Setting>)> = live.collect();
            let live: Vec<_> = live.iter().map(|(field, setting)| (*field, setting)).collect();
            let none: &[_] = &[];
            // One that has none has a revision.
            let chunks = live.chunks(FIELDS_A_LINE).chain(live.is_empty().then_some(none));
            for fields in chunks {
                let state = line::state(subject, *revision, fields, wall)?;
                file.extend(state.as_bytes());
            }
        }
        let past = self.subjects.values().flat_map(|held| held.log.records());
        let mut past: Vec<&Arc<ChangeRecord>> = past.collect();
        past.sort_unstable_by_key(|record| record.sequence);
        let skipped = past.len().saturating_sub(MAX_PAST);
        for record in past.into_iter().skip(skipped) {
            let line = line::record(record, true)?;
            if line.len() <= line::MAX_LINE {
                file.extend(line.as_bytes());
            }
        }
        Ok(file)
    }
}
