//! Fields and settings as a line of the journal has them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::line::{Now, read_time, written};
use crate::model::Address;
use crate::overrides::{Author, Expiry, Field, FieldChange, Provenance, Setting, Value};
use crate::text::ParamValue;

/// The name of a field.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FieldName {
    Policy,
    Member,
    Weight,
    Drain,
    Eject,
    Share,
}

/// A field that a change has edited.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FieldLine {
    field: FieldName,
    /// The backend or share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Box<SettingLine>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Box<SettingLine>>,
}

/// What is wanted of a field.
#[derive(Debug, Serialize, Deserialize)]
struct SettingLine {
    /// Absent for what is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<ValueLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// Absent for the revision that has set it, in the first place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<(u64, u32)>,
    /// Who set it; absent for who has made the change of this line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Box<ByLine>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    under: Option<Box<SettingLine>>,
    /// Of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ByLine {
    revision: u64,
    time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    peer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ValueLine {
    Policy { name: String, settings: Vec<(String, ParamLine)> },
    Weight(u32),
    Added(u32),
    Removed,
    Drained,
    Ejected,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum ParamLine {
    Text(String),
    Map(Vec<(String, String)>),
}

/// Who has made the change of a line, and its revision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamps<'a> {
    pub(super) provenance: &'a Provenance,
    pub(super) revision: u64,
}

impl FieldLine {
    pub(super) fn of(change: &FieldChange, stamps: Stamps<'_>) -> FieldLine {
        let backend = |address: &Address| Some(address.to_string());
        let (field, of) = match &change.field {
            Field::Policy => (FieldName::Policy, None),
            Field::Member(address) => (FieldName::Member, backend(address)),
            Field::Weight(address) => (FieldName::Weight, backend(address)),
            Field::Drain(address) => (FieldName::Drain, backend(address)),
            Field::Eject(address) => (FieldName::Eject, backend(address)),
            Field::Share(name) => (FieldName::Share, Some(name.clone())),
        };
        let line = |setting: &Option<Arc<Setting>>| {
            setting.as_ref().map(|setting| Box::new(SettingLine::of(setting, stamps)))
        };
        FieldLine { field, of, from: line(&change.from), to: line(&change.to) }
    }

    /// None if it makes no sense.
    pub(super) fn read(self, stamps: Stamps<'_>, now: Now) -> Option<FieldChange> {
        let backend = |field: fn(Address) -> Field| -> Option<Field> {
            Some(field(Address::parse(self.of.as_deref()?).ok()?))
        };
        let field = match self.field {
            FieldName::Policy => Field::Policy,
            FieldName::Member => backend(Field::Member)?,
            FieldName::Weight => backend(Field::Weight)?,
            FieldName::Drain => backend(Field::Drain)?,
            FieldName::Eject => backend(Field::Eject)?,
            FieldName::Share => Field::Share(self.of?),
        };
        let setting = |line: Option<Box<SettingLine>>| match line {
            Some(line) => line.read(stamps, now).map(|setting| Some(Arc::new(setting))),
            None => Some(None),
        };
        Some(FieldChange { field, from: setting(self.from)?, to: setting(self.to)? })
    }
}

impl SettingLine {
    fn of(setting: &Setting, stamps: Stamps<'_>) -> SettingLine {
        let Setting { value, provenance, revision, place, until, under, instance, .. } = setting;
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        let own = *revision == stamps.revision && provenance == stamps.provenance;
        let by = || ByLine {
            revision: *revision,
            time: written(provenance.at),
            identity: text(&provenance.by.identity),
            actor: text(&provenance.by.actor),
            peer: provenance.by.peer.to_string(),
            reason: text(&provenance.by.reason),
        };
        SettingLine {
            value: value.as_ref().map(ValueLine::of),
            until: until.map(|until| written(until.wall)),
            place: Some(*place).filter(|place| *place != (*revision, 0)),
            by: (!own).then(|| Box::new(by())),
            under: under.as_ref().map(|under| Box::new(SettingLine::of(under, stamps))),
            instance: text(instance),
        }
    }

    fn read(self, stamps: Stamps<'_>, now: Now) -> Option<Setting> {
        let (provenance, revision) = match self.by {
            None => (stamps.provenance.clone(), stamps.revision),
            Some(by) => {
                let at = read_time(&by.time)?;
                let by_whom = Author {
                    identity: by.identity.map(Into::into),
                    peer: by.peer.into(),
                    actor: by.actor.map(Into::into),
                    reason: by.reason.map(Into::into),
                    method: None,
                };
                (Provenance { by: by_whom, at }, by.revision)
            }
        };
        let until = match self.until {
            Some(until) => Some(Expiry::at_wall(read_time(&until)?, now.time, now.wall)),
            None => None,
        };
        let under = match self.under {
            Some(under) => Some(Arc::new(under.read(stamps, now)?)),
            None => None,
        };
        let (value, instance) = (self.value.map(ValueLine::read), self.instance.map(Into::into));
        let (since, place) = (now.time, self.place.unwrap_or((revision, 0)));
        Some(Setting { value, provenance, since, revision, place, until, under, instance })
    }
}

impl ValueLine {
    fn of(value: &Value) -> ValueLine {
        match value {
            Value::Policy { name, settings } => {
                let setting = |(key, value): &(String, ParamValue)| {
                    let value = match value {
                        ParamValue::Text(text) => ParamLine::Text(text.clone()),
                        ParamValue::Map(pairs) => ParamLine::Map(pairs.clone()),
                    };
                    (key.clone(), value)
                };
                let settings = settings.iter().map(setting).collect();
                ValueLine::Policy { name: name.clone(), settings }
            }
            Value::Weight(weight) => ValueLine::Weight(*weight),
            Value::Added(weight) => ValueLine::Added(*weight),
            Value::Removed => ValueLine::Removed,
            Value::Drained { .. } => ValueLine::Drained,
            Value::Ejected => ValueLine::Ejected,
        }
    }

    fn read(self) -> Value {
        match self {
            ValueLine::Policy { name, settings } => {
                let setting = |(key, value)| {
                    let value = match value {
                        ParamLine::Text(text) => ParamValue::Text(text),
                        ParamLine::Map(pairs) => ParamValue::Map(pairs),
                    };
                    (key, value)
                };
                Value::Policy { name, settings: settings.into_iter().map(setting).collect() }
            }
            ValueLine::Weight(weight) => Value::Weight(weight),
            ValueLine::Added(weight) => Value::Added(weight),
            ValueLine::Removed => Value::Removed,
            ValueLine::Drained => Value::Drained { deadline: None },
            ValueLine::Ejected => Value::Ejected,
        }
    }
}
