//! The settings of a plug-in as it reads them: by key, typed, nothing left over.

use std::cell::Cell;
use std::time::Duration;

use super::{nearest, units};

/// A setting's value as it stands in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// A scalar, as text.
    Text(String),
    /// A mapping from keys to scalars.
    Map(Vec<(String, String)>),
}

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadParam {
    /// The key; empty when the whole is meant.
    pub key: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// Everything that is wrong with the settings of one plug-in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.0.iter().map(|p| format!("{}: {}", p.key, p.message)).collect::<Vec<_>>().join("; "))]
pub struct BadParams(pub Vec<BadParam>);

/// The settings given to one plug-in.
#[derive(Debug, Default)]
pub struct Params {
    entries: Vec<(String, ParamValue, Cell<bool>)>,
    errors: std::cell::RefCell<Vec<BadParam>>,
    asked: std::cell::RefCell<Vec<&'static str>>,
}

impl Params {
    /// Settings in the order given.
    pub fn new(entries: impl IntoIterator<Item = (String, ParamValue)>) -> Params {
        let entries = entries.into_iter().map(|(k, v)| (k, v, Cell::new(false))).collect();
        Params { entries, ..Params::default() }
    }

    /// The value of `key`, if given.
    pub fn get(&self, key: &'static str) -> Option<&ParamValue> {
        self.asked.borrow_mut().push(key);
        let (_, value, read) = self.entries.iter().find(|(k, ..)| k == key)?;
        read.set(true);
        Some(value)
    }

    /// The duration under `key`, or `default`; a wrong one is noted and `default` returned.
    pub fn duration(&self, key: &'static str, default: Duration) -> Duration {
        self.parsed(key, default, units::parse_duration)
    }

    /// The whole number under `key`, or `default`; a wrong one is noted and `default` returned.
    pub fn number(&self, key: &'static str, default: u64) -> u64 {
        self.parsed(key, default, |text| {
            text.parse().map_err(|_| format!("`{text}` is not a whole number"))
        })
    }

    /// The value of `key` as `parse` reads it, or `default`; a wrong one is noted and `default`
    /// returned.
    pub fn parsed<T>(
        &self,
        key: &'static str,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let result = match self.get(key) {
            None => return default,
            Some(ParamValue::Text(text)) => parse(text),
            Some(ParamValue::Map(_)) => Err("one value is wanted here, not a mapping".into()),
        };
        result.unwrap_or_else(|message| {
            self.reject(key, message);
            default
        })
    }

    /// Notes an error about `key`.
    pub fn reject(&self, key: &str, message: impl Into<String>) {
        self.errors.borrow_mut().push(BadParam { key: key.into(), message: message.into() });
    }

    /// Ends the reading: every key that nobody asked for is an error too.
    pub fn finish(self) -> Result<(), BadParams> {
        let mut errors = self.errors.into_inner();
        let mut known = self.asked.into_inner();
        known.sort_unstable();
        known.dedup();
        for (key, _, read) in &self.entries {
            if !read.get() {
                let all = if known.is_empty() { "none".into() } else { known.join(", ") };
                let near = nearest(key, known.iter().copied())
                    .map(|near| format!("did you mean `{near}`? "))
                    .unwrap_or_default();
                let message = format!("unknown setting; {near}this policy has: {all}");
                errors.push(BadParam { key: key.clone(), message });
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(BadParams(errors)) }
    }
}
