//! A plug-in's settings: typed access by key, and leftover keys are errors.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::keys::{Key, Row, Setting};
use super::nearest;

/// The raw value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// A scalar, as text.
    Text(String),
    /// A mapping of scalars.
    Map(Vec<(String, String)>),
}

/// An error in one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadParam {
    /// The key; empty for an error in the settings as a whole.
    pub key: String,
    /// What is wrong, and how to fix it.
    pub message: String,
}

/// All errors in the settings of one plug-in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.0.iter().map(|p| format!("{}: {}", p.key, p.message)).collect::<Vec<_>>().join("; "))]
pub struct BadParams(pub Vec<BadParam>);

/// The settings of one plug-in.
#[derive(Debug, Default)]
pub struct Params {
    entries: Vec<(String, ParamValue, Cell<bool>)>,
    errors: RefCell<Vec<BadParam>>,
    asked: RefCell<Vec<&'static str>>,
    defaults: Defaults,
}

/// Defaults of keys that were read but not given; filled in while reading.
pub type Defaults = Rc<RefCell<Vec<(&'static str, ParamValue)>>>;

impl Params {
    /// Settings, in the order of the file.
    pub fn new(entries: impl IntoIterator<Item = (String, ParamValue)>) -> Params {
        let entries = entries.into_iter().map(|(k, v)| (k, v, Cell::new(false))).collect();
        Params { entries, ..Params::default() }
    }

    /// The raw value of `key`, if given.
    pub fn get(&self, key: &dyn Row) -> Option<&ParamValue> {
        let key = key.name();
        self.asked.borrow_mut().push(key);
        let (_, value, read) = self.entries.iter().find(|(k, ..)| k == key)?;
        read.set(true);
        Some(value)
    }

    /// The defaults in effect, complete once all settings have been read.
    pub fn defaults(&self) -> Defaults {
        Rc::clone(&self.defaults)
    }

    /// The value of `key`, or its default. An invalid value is recorded as an error and replaced by
    /// the default.
    pub fn value<T: Copy + Sync>(&self, key: &Setting<T>) -> T {
        if self.get(key).is_none() {
            let default = ParamValue::Text(key.form.show(&key.default));
            self.defaults.borrow_mut().push((key.name(), default));
        }
        self.read(key, |text| key.form.read(text)).unwrap_or(key.default)
    }

    /// The value of `key`, if given. An invalid value is recorded as an error.
    pub fn optional<T>(&self, key: &Key<T>) -> Option<T> {
        self.read(key, |text| key.form.read(text))
    }

    fn read<T>(&self, key: &dyn Row, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let result = match self.get(key)? {
            ParamValue::Text(text) => parse(text),
            ParamValue::Map(_) => Err("one value is wanted here, not a mapping".into()),
        };
        result.map_err(|message| self.reject(key, message)).ok()
    }

    /// Records an error about `key`.
    pub fn reject(&self, key: &dyn Row, message: impl Into<String>) {
        let bad = BadParam { key: key.name().into(), message: message.into() };
        self.errors.borrow_mut().push(bad);
    }

    /// Finishes reading; keys that were never read are errors too.
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
