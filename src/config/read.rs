//! Reads mappings by key: typed, carrying on after errors; leftover keys are errors.

use super::node::{Entry, Node, Value};
use super::report::{Problems, Span};
use crate::text::keys::{Absent, Key, Keys, List, Many, Row, Section, Setting, Shape};
use crate::text::{nearest, suggestion};

/// A mapping being read.
pub struct Fields<'a> {
    span: Span,
    is_mapping: bool,
    entries: &'a [Entry],
    /// The scalar of a shorthand, and the key that it sets.
    short: Option<(&'static str, &'a Node)>,
    section: &'static Section,
    /// Missing required keys, with hints.
    missing: Vec<(&'static str, &'static str)>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// Reads `keys` in `node`, which may be in shorthand; records a problem if it is not a mapping.
    pub fn of(node: &'a Node, keys: &dyn Keys, problems: &'a Problems) -> Fields<'a> {
        let section = keys.section();
        let short = section.short_key();
        let (is_mapping, entries, short) = match (&node.value, short) {
            (Value::Map(entries), _) => (true, entries.as_slice(), None),
            (Value::Scalar(_), Some(key)) => (false, &[][..], Some((key, node))),
            (_, short) => {
                let help = match short {
                    Some(key) => format!("write {{ {key}: … }}, or the {key} alone"),
                    None => mapping_for(&node.value, section),
                };
                unfit(node, "a mapping is wanted", &help, problems);
                (false, &[][..], None)
            }
        };
        // Missing keys are not reported if it is not a mapping at all.
        let missing = section.rows().filter_map(|row| match row.absent() {
            Absent::Required(help) if is_mapping => Some((row.name(), help)),
            _ => None,
        });
        let missing = missing.filter(|(key, _)| entries.iter().all(|entry| &*entry.key != *key));
        let missing = missing.collect();
        Fields { span: node.span, is_mapping, entries, short, section, missing, problems }
    }

    /// The value of `key`, if present. Null counts as an empty list, as generators of YAML may
    /// write one so.
    pub fn get(&self, key: &dyn Row) -> Option<&'a Node> {
        if let Some((short, node)) = self.short {
            return (short == key.name()).then_some(node);
        }
        let entry = self.entries.iter().find(|entry| &*entry.key == key.name())?;
        let may_be_empty = match key.shape() {
            Shape::Values(..) | Shape::Mappings(..) => true,
            Shape::Named(.., many) => many == Many::Any,
            Shape::Value(_) | Shape::Mapping(_) | Shape::NamedValues(..) => false,
        };
        if matches!(entry.value.value, Value::Null) && !may_be_empty {
            let message = match entry.value.is_expanded() {
                true => format!("`{}` has no value: the variable is empty", key.name()),
                false => format!("`{}` has no value", key.name()),
            };
            let help = "give it one, or leave the key out";
            self.problems.error(entry.span, message, help);
            return None;
        }
        Some(&entry.value)
    }

    /// As `get`, for a required key: if missing, `finish` reports it with this hint.
    pub fn require(&mut self, key: &dyn Row, help: &'static str) -> Option<&'a Node> {
        if self.is_mapping && !self.has(key) {
            self.missing.push((key.name(), help));
        }
        self.get(key)
    }

    /// The value of `key`, if present and valid.
    pub fn optional<T>(&self, key: &Key<T>) -> Option<T> {
        scalar(self.get(key)?, self.problems, |text| key.form.read(text))
    }

    /// As `optional`, with its location.
    pub fn placed<T>(&self, key: &Key<T>) -> Option<(T, Span)> {
        let node = self.get(key)?;
        Some((scalar(node, self.problems, |text| key.form.read(text))?, node.span))
    }

    /// Overwrites `slot` with the value of `key`, if present and valid.
    pub fn set<T>(&self, key: &Key<T>, slot: &mut T) {
        if let Some(value) = self.optional(key) {
            *slot = value;
        }
    }

    /// The value of `key`, or its default.
    pub fn value<T: Copy + Sync>(&self, key: &Setting<T>) -> T {
        let node = self.get(key);
        let given = node.and_then(|node| scalar(node, self.problems, |text| key.form.read(text)));
        given.unwrap_or(key.default)
    }

    /// The list of `key`, empty if missing.
    pub fn list<T>(&self, key: &List<T>) -> Vec<T> {
        let items = self.items(key).iter();
        items.filter_map(|node| scalar(node, self.problems, |text| key.form.read(text))).collect()
    }

    /// The items of `key`, empty if missing.
    pub fn items(&self, key: &dyn Row) -> &'a [Node] {
        let Some(node) = self.get(key) else { return &[] };
        match key.shape() {
            Shape::Mappings(_, Many::Some) | Shape::Values(_, Many::Some) => {
                some_items(node, self.problems)
            }
            _ => items(node, self.problems),
        }
    }

    /// Whether `key` is present, even without a value.
    pub fn has(&self, key: &dyn Row) -> bool {
        let short = self.short.is_some_and(|(short, _)| short == key.name());
        short || self.entries.iter().any(|entry| &*entry.key == key.name())
    }

    /// The entries of all other keys, for callers that read them differently.
    pub fn rest(&self) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let section = self.section;
        let known = move |entry: &&Entry| section.rows().any(|row| row.name() == &*entry.key);
        self.entries.iter().filter(move |entry| !known(entry))
    }

    /// Finishes reading; unknown and missing keys are errors.
    pub fn finish(self) {
        self.finish_but(&[]);
    }

    /// As `finish`, for callers that have told about the `gone` keys of earlier versions.
    pub fn finish_but(mut self, gone: &[&str]) {
        for entry in self.rest().filter(|entry| !gone.contains(&&*entry.key)) {
            let known: Vec<&str> = self.section.rows().map(|row| row.name()).collect();
            let near = nearest(&entry.key, known.iter().copied());
            // The suggestion for the typo explains the missing key.
            self.missing.retain(|(key, _)| Some(*key) != near);
            let message = format!("unknown key `{}`", entry.key);
            self.problems.error(entry.span, message, suggestion(near, &known));
        }
        for (key, help) in self.missing {
            self.problems.error(self.span, format!("`{key}` is missing"), help);
        }
    }
}

/// The items of a sequence; records a problem if `node` is not one.
pub fn items<'a>(node: &'a Node, problems: &Problems) -> &'a [Node] {
    match &node.value {
        Value::Seq(items) => items,
        Value::Null => &[],
        Value::Unknown(_) | Value::Scalar(_) | Value::Map(_) => {
            let help = "start each item with `- `, or write [ item, item ]";
            unfit(node, "a list is wanted", help, problems);
            &[]
        }
    }
}

/// Records what is expected instead of `node`, unless its value is unknown.
pub fn unfit(node: &Node, wanted: &str, help: &str, problems: &Problems) {
    match &node.value {
        Value::Unknown(fault) => problems.error(node.span, &*fault.message, &*fault.help),
        _ => problems.error(node.span, format!("{wanted} {}", node.owner), help),
    }
}

/// How to write the mapping that `value` stands in place of.
fn mapping_for(value: &Value, section: &Section) -> String {
    let mut required = section.rows().filter(|row| matches!(row.absent(), Absent::Required(_)));
    match (value, required.next(), required.next()) {
        (Value::Scalar(text), Some(row), None) => format!("write {{ {}: {text} }}", row.name()),
        (Value::Scalar(text), None, _) if &**text == "true" => {
            "write {} for its defaults, or { key: value }".into()
        }
        _ => "write `key: value` lines, or { key: value }".into(),
    }
}

/// As `items`, for a list that must not be empty.
fn some_items<'a>(node: &'a Node, problems: &Problems) -> &'a [Node] {
    let before = problems.count();
    let items = items(node, problems);
    if items.is_empty() && problems.count() == before {
        problems.error(node.span, "the list is empty", "give it an item");
    }
    items
}

/// Parses a scalar.
pub fn scalar<T>(
    node: &Node,
    problems: &Problems,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let Value::Scalar(text) = &node.value else {
        unfit(node, "one value is wanted", "write it behind the key", problems);
        return None;
    };
    match parse(text) {
        Ok(value) => Some(value),
        Err(message) => {
            problems.error(node.span, node.redact(message), "");
            None
        }
    }
}

/// Parses non-empty text.
pub fn text(text: &str) -> Result<String, String> {
    match text {
        "" => Err("the text is empty: write at least a character".into()),
        text => Ok(text.into()),
    }
}
