//! A line of the journal: a JSON object that a person can read, with a checksum at its end.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::SystemTime;

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::setting_line::{FieldLine, Stamps};
use crate::model::Time;
use crate::overrides::{
    Author, ChangeRecord, Expiry, Field, FieldChange, Provenance, RecordKind, Retired, Setting,
    Subject,
};

/// Maximum length of a line: a change of ten thousand backends with long reasons has less.
pub(super) const MAX_LINE: usize = 16 << 20;

/// The version of the format.
const VERSION: u32 = 1;

/// The beginning of every journal.
const MAGIC: &str = "{\"journal\":\"equipoise overrides\"";
/// What comes before the checksum, and after it.
const CRC: (&str, &str) = (",\"crc32\":\"", "\"}");

/// The two clocks at the moment when a journal is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) time: Time,
    pub(super) wall: SystemTime,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    journal: String,
    version: u32,
    retired_service: u64,
    retired_route: u64,
}

/// What a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A change by an operator.
    #[default]
    Change,
    /// What is no longer configured has ended.
    Ended,
    /// The service or route is no longer configured.
    Gone,
    /// What was in effect when the file was written anew.
    State,
}

/// Every other line. What a later version adds is ignored.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    seq: u64,
    time: String,
    kind: Kind,
    #[serde(skip_serializing_if = "is_false")]
    past: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    peer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    change: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    old: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    new: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    fields: Vec<FieldLine>,
}

/// A line that was read.
#[derive(Debug)]
pub(super) enum Entry {
    /// The first line.
    Header(Retired),
    /// A change, or an end. One of the past is for the history alone.
    Record { record: Arc<ChangeRecord>, past: bool },
    /// What was in effect of a service or route.
    State { subject: Subject, revision: u64, settings: Vec<(Field, Arc<Setting>)> },
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The time as the journal has it.
pub(super) fn written(time: SystemTime) -> String {
    Timestamp::from(time).to_string()
}

/// The time that the journal has.
pub(super) fn read_time(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(Timestamp::from_str(text).ok()?).ok()
}

/// A line with its checksum and line end.
fn sealed(value: &impl Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_string(value)?;
    let body = json.strip_suffix('}').unwrap_or(&json);
    let (before, after) = CRC;
    Ok(format!("{body}{before}{:08x}{after}\n", crc32fast::hash(body.as_bytes())))
}

/// The line, if its checksum is right.
fn unsealed(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?;
    let (before, after) = CRC;
    let (body, crc) = line.strip_suffix(after)?.rsplit_once(before)?;
    let crc = u32::from_str_radix(crc, 16).ok().filter(|_| crc.len() == 8)?;
    (crc == crc32fast::hash(body.as_bytes())).then_some(line)
}

/// The first line of a journal.
pub(super) fn header(retired: Retired) -> serde_json::Result<String> {
    sealed(&Header {
        journal: "equipoise overrides".into(),
        version: VERSION,
        retired_service: retired.service,
        retired_route: retired.route,
    })
}

/// Whether a file begins as a journal does, or is the torn begin of one.
pub(super) fn is_journal(content: &[u8]) -> bool {
    let torn = content.len().min(MAGIC.len());
    content.iter().all(|byte| *byte == 0) || content.get(..torn) == MAGIC.as_bytes().get(..torn)
}

/// A change as a line; one of the `past` is for the history alone.
pub(super) fn record(record: &ChangeRecord, past: bool) -> serde_json::Result<String> {
    let ChangeRecord { sequence, kind, provenance, subject, .. } = record;
    let Provenance { by: Author { identity, peer, actor, reason, .. }, at } = provenance;
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let (service, route) = names(subject);
    let revision = record.revision.unwrap_or_default();
    let stamps = Stamps { provenance, revision };
    sealed(&Line {
        seq: *sequence,
        time: written(*at),
        kind: match kind {
            RecordKind::Change => Kind::Change,
            RecordKind::Ended => Kind::Ended,
            RecordKind::Gone => Kind::Gone,
        },
        past,
        service,
        route,
        revision,
        identity: text(identity),
        actor: text(actor),
        peer: peer.to_string(),
        reason: text(reason),
        change: record.change.clone(),
        old: record.old.clone(),
        new: record.new.clone(),
        until: record.until.map(|until| written(until.wall)),
        fields: record.fields.iter().map(|change| FieldLine::of(change, stamps)).collect(),
    })
}

/// What is in effect as a line.
pub(super) fn state(
    subject: &Subject,
    revision: u64,
    settings: &[(&Field, &Arc<Setting>)],
    at: SystemTime,
) -> serde_json::Result<String> {
    let (service, route) = names(subject);
    let nobody = Provenance { by: "".into(), at };
    let stamps = Stamps { provenance: &nobody, revision };
    let field = |(field, setting): &(&Field, &Arc<Setting>)| {
        let change =
            FieldChange { field: (*field).clone(), from: None, to: Some(Arc::clone(setting)) };
        FieldLine::of(&change, stamps)
    };
    let (kind, time) = (Kind::State, written(at));
    let fields = settings.iter().map(field).collect();
    sealed(&Line { kind, time, service, route, revision, fields, ..Line::default() })
}

fn names(subject: &Subject) -> (Option<String>, Option<String>) {
    match subject {
        Subject::Service(name) => (Some(name.clone()), None),
        Subject::Route(name) => (None, Some(name.clone())),
    }
}

/// Reads a line, without its end. `None` if it is damaged.
///
/// # Errors
/// A later version of the gateway has written it.
pub(super) fn read(line: &[u8], now: Now) -> Result<Option<Entry>, u32> {
    if line.len() > MAX_LINE {
        return Ok(None);
    }
    let Some(text) = unsealed(line) else { return Ok(None) };
    if text.starts_with(MAGIC) {
        return match serde_json::from_str::<Header>(text) {
            Ok(header) if header.version > VERSION => Err(header.version),
            Ok(Header { retired_service: service, retired_route: route, .. }) => {
                Ok(Some(Entry::Header(Retired { service, route })))
            }
            Err(_) => Ok(None),
        };
    }
    Ok(serde_json::from_str(text).ok().and_then(|line| entry(line, now)))
}

fn entry(line: Line, now: Now) -> Option<Entry> {
    let at = read_time(&line.time)?;
    let subject = match (line.service, line.route) {
        (Some(name), None) => Subject::Service(name),
        (None, Some(name)) => Subject::Route(name),
        _ => return None,
    };
    let by = Author {
        identity: line.identity.map(Into::into),
        peer: line.peer.into(),
        actor: line.actor.map(Into::into),
        reason: line.reason.map(Into::into),
        method: None,
    };
    let (provenance, revision) = (Provenance { by, at }, line.revision);
    let stamps = Stamps { provenance: &provenance, revision };
    let fields = line.fields.into_iter().map(|field| field.read(stamps, now));
    let fields: Vec<FieldChange> = fields.collect::<Option<_>>()?;
    let kind = match line.kind {
        Kind::Change => RecordKind::Change,
        Kind::Ended => RecordKind::Ended,
        Kind::Gone => RecordKind::Gone,
        Kind::State => {
            let settings = fields.into_iter().filter_map(|change| Some((change.field, change.to?)));
            return Some(Entry::State { subject, revision, settings: settings.collect() });
        }
    };
    let until = match line.until {
        Some(until) => Some(Expiry::at_wall(read_time(&until)?, now.time, now.wall)),
        None => None,
    };
    let record = ChangeRecord {
        sequence: line.seq,
        kind,
        provenance,
        subject,
        change: line.change,
        old: line.old,
        new: line.new,
        fields,
        until,
        revision: Some(revision),
        result: Ok(()),
    };
    Some(Entry::Record { record: Arc::new(record), past: line.past })
}
