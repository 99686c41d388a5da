//! A line of the audit.

use std::sync::Arc;

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::overrides::{Author, ChangeRecord, RecordKind, Subject};

/// Maximum length of a text in characters; longer ones are cut.
const MAX_TEXT: usize = 4096;

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A change was accepted, and is about to be made.
    Intent,
    /// It is made.
    Done,
    /// It could not be kept, and is not made.
    Failed,
    /// It had no result when the process ended: `kept` says what became of it.
    Recovered,
    /// A change was refused, for what it asks for or for who asks.
    Refused,
    /// A call was refused, for who made it.
    Denied,
    /// What operators wanted is over: its time is, or the configuration has it no more.
    Ended,
    /// The configuration was reloaded, or could not be.
    Reload,
    /// Refusals without lines of their own, as there were too many.
    Suppressed,
    /// The file was opened: at the start, or as it was renamed, removed or cut.
    Opened,
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// A line of the audit. What is not known is left out.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    at: String,
    event: Event,
    /// Of the change: the same number in the log, the history and the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    /// Who the caller had proved to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    /// Who the caller says they are: nobody verifies it.
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    change: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    old: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    new: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// Why it was refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whether a change that has no result is in effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<bool>,
    /// How many refusals have no line.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

impl Entry {
    /// What somebody did, or wanted to, now.
    pub fn by(by: &Author, event: Event) -> Entry {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(cut);
        Entry {
            at: Timestamp::from(clock::wall()).to_string(),
            event,
            sequence: None,
            who: text(&by.identity),
            claimed: text(&by.actor),
            from: cut(&by.peer),
            method: by.method.map(str::to_owned),
            service: None,
            route: None,
            change: String::new(),
            old: String::new(),
            new: String::new(),
            revision: None,
            reason: text(&by.reason),
            until: None,
            error: None,
            kept: None,
            count: None,
        }
    }

    /// What becomes of a change.
    pub fn of(record: &ChangeRecord, event: Event) -> Entry {
        let (service, route) = match &record.subject {
            Subject::Service(name) => (Some(cut(name)), None),
            Subject::Route(name) => (None, Some(cut(name))),
        };
        Entry {
            sequence: (record.kind == RecordKind::Change).then_some(record.sequence),
            service,
            route,
            change: cut(&record.change),
            old: cut(&record.old),
            new: cut(&record.new),
            revision: record.revision,
            until: record.until.map(|until| Timestamp::from(until.wall).to_string()),
            error: record.result.as_ref().err().map(|error| cut(error)),
            ..Entry::by(&record.provenance.by, event)
        }
    }

    /// What became of a change that has no result.
    pub(super) fn recovered(intent: &ReadEntry, kept: Option<bool>) -> Entry {
        let ReadEntry { sequence, service, route, revision, change, .. } = intent.clone();
        let unknown = "nobody knows what became of it: the store of overrides does";
        Entry {
            sequence,
            service,
            route,
            revision,
            change,
            kept,
            error: kept.is_none().then(|| unknown.to_owned()),
            ..Entry::by(&Author::from(""), Event::Recovered)
        }
    }

    /// This many refusals have no line.
    pub(super) fn suppressed(count: u64, what: &str) -> Entry {
        Entry {
            count: Some(count),
            change: what.to_owned(),
            ..Entry::by(&Author::from(""), Event::Suppressed)
        }
    }

    /// The file was opened.
    pub(super) fn opened(why: &str) -> Entry {
        Entry { change: why.to_owned(), ..Entry::by(&Author::from(""), Event::Opened) }
    }

    /// With what was changed, which is no service and no route.
    pub fn about(self, change: &str, old: &str, new: &str) -> Entry {
        Entry { change: cut(change), old: cut(old), new: cut(new), ..self }
    }

    /// With the number of the change.
    pub fn numbered(self, sequence: u64) -> Entry {
        Entry { sequence: Some(sequence), ..self }
    }

    /// With the service that the call was about.
    pub fn on(self, service: &str) -> Entry {
        Entry { service: Some(cut(service)), ..self }
    }

    /// With why.
    pub fn because(self, error: &str) -> Entry {
        Entry { error: Some(cut(error)), ..self }
    }

    /// An intent, as a change that is not made.
    pub(super) fn failed(self, error: &str) -> Entry {
        let at = Timestamp::from(clock::wall()).to_string();
        Entry { at, event: Event::Failed, ..self.because(error) }
    }

    /// What it tells.
    pub(super) fn event(&self) -> Event {
        self.event
    }

    /// Whether nobody knows whose it is.
    pub(super) fn is_of_stranger(&self) -> bool {
        self.who.is_none()
    }

    /// The line, with its end. JSON has no line end within a text, so that nobody forges a line; the
    /// marks that some readers take for one, and what does something to a terminal, are escaped too.
    pub(super) fn line(&self) -> String {
        // Serializing a struct of numbers and strings cannot fail.
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut line = String::with_capacity(json.len() + 1);
        for c in json.chars() {
            match c {
                '\u{7f}'..='\u{9f}'
                | '\u{200E}'
                | '\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2066}'..='\u{2069}' => line += &format!("\\u{:04x}", u32::from(c)),
                c => line.push(c),
            }
        }
        line.push('\n');
        line
    }
}

/// What is read of a line again.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ReadEntry {
    pub event: Event,
    #[serde(default)]
    pub sequence: Option<u64>,
    #[serde(default)]
    pub service: Option<String>,
    #[serde(default)]
    pub route: Option<String>,
    #[serde(default)]
    pub revision: Option<u64>,
    #[serde(default)]
    pub change: String,
}

impl ReadEntry {
    /// What it is about, if that is a service or a route.
    pub fn subject(&self) -> Option<Subject> {
        match (&self.service, &self.route) {
            (Some(name), _) => Some(Subject::service(name)),
            (None, Some(name)) => Some(Subject::route(name)),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overrides::Provenance;

    #[test]
    fn nobody_forges_a_line() {
        let by = Author {
            identity: Some("token:ci".into()),
            actor: Some("ann\"}\n{\"event\":\"done\"".into()),
            reason: Some("\u{2028}\u{85}\u{202e}x\r".into()),
            method: Some("SetWeights"),
            ..Author::from("192.0.2.1:1")
        };
        let record = ChangeRecord::made(
            Provenance::now(&by),
            Subject::service("orders\n"),
            &"set \u{1b}[31m",
            ("a".into(), "x".repeat(MAX_TEXT + 1)),
            7,
        );
        let line = Entry::of(&record, Event::Intent).line();
        let text = line.strip_suffix('\n').unwrap();
        let plain = |c: char| !c.is_control() && c != '\u{2028}' && c != '\u{202e}';
        assert!(text.chars().all(plain), "{text}");
        let read: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!((&read["event"], &read["revision"]), (&"intent".into(), &7.into()));
        assert_eq!((&read["who"], &read["method"]), (&"token:ci".into(), &"SetWeights".into()));
        assert_eq!(read["claimed"], "ann\"}\n{\"event\":\"done\"");
        assert_eq!(read["reason"], "\u{2028}\u{85}\u{202e}x\r");
        assert_eq!(read["new"].as_str().unwrap().len(), MAX_TEXT);
        assert_eq!(read["sequence"], record.sequence);
        assert!(read.get("error").is_none());
        let again: ReadEntry = serde_json::from_str(text).unwrap();
        assert_eq!(again.subject(), Some(Subject::service("orders\n")));
        let later: ReadEntry = serde_json::from_str("{\"event\":\"tomorrow\",\"x\":1}").unwrap();
        assert_eq!(later.event, Event::Unknown);
    }
}
