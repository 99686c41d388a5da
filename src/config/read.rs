//! Reading of mappings key by key: typed, going on after errors, nothing left over.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::node::{Entry, Node, Value};
use super::report::{Problems, Span};
use crate::model::{nearest, suggestion, units};

/// A mapping that is being read.
pub struct Fields<'a> {
    span: Span,
    is_mapping: bool,
    entries: &'a [Entry],
    /// A value that stands in place of the mapping, and the key that it is meant for.
    short: Option<(&'static str, &'a Node)>,
    known: Vec<&'static str>,
    missing: Vec<(&'static str, &'static str)>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// The keys of `node`; none, and a problem, if it is no mapping.
    pub fn of(node: &'a Node, problems: &'a Problems) -> Fields<'a> {
        if !matches!(node.value, Value::Map(_)) {
            unfit(
                node,
                "a mapping is wanted",
                "write `key: value` lines, or { key: value }",
                problems,
            );
        }
        Fields::new(node, None, problems)
    }

    /// The same, but one value in place of the mapping is that of `key`, and the rest has its
    /// defaults.
    pub fn or_short(node: &'a Node, key: &'static str, problems: &'a Problems) -> Fields<'a> {
        match &node.value {
            Value::Scalar(_) => Fields::new(node, Some((key, node)), problems),
            Value::Map(_) => Fields::new(node, None, problems),
            Value::Null | Value::Unknown(_) | Value::Seq(_) => {
                let help = format!("write {{ {key}: … }}, or the {key} alone");
                unfit(node, "a mapping is wanted", &help, problems);
                Fields::new(node, None, problems)
            }
        }
    }

    fn new(
        node: &'a Node,
        short: Option<(&'static str, &'a Node)>,
        problems: &'a Problems,
    ) -> Fields<'a> {
        let (is_mapping, entries) = match &node.value {
            Value::Map(entries) => (true, entries.as_slice()),
            _ => (false, &[][..]),
        };
        Fields {
            span: node.span,
            is_mapping,
            entries,
            short,
            known: Vec::new(),
            missing: Vec::new(),
            problems,
        }
    }

    /// The value of `key`, if it is there.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        if let Some((short, node)) = self.short {
            self.known.push(key);
            return (short == key).then_some(node);
        }
        let entry = self.find(key)?;
        if matches!(entry.value.value, Value::Null) {
            let message = match entry.value.is_expanded() {
                true => format!("`{key}` has no value: the variable is empty"),
                false => format!("`{key}` has no value"),
            };
            let help = "give it one, or leave the key out";
            self.problems.error(entry.span, message, help);
            return None;
        }
        Some(&entry.value)
    }

    /// The value of `key`, if it is there, where none stands for a list of nothing: programs that
    /// write lists write the empty one so.
    pub fn get_list(&mut self, key: &'static str) -> Option<&'a Node> {
        self.find(key).map(|entry| &entry.value)
    }

    fn find(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.known.push(key);
        self.entries.iter().find(|entry| &*entry.key == key)
    }

    /// The value of `key`; if it is not there, an error that says how to write it.
    pub fn require(&mut self, key: &'static str, help: &'static str) -> Option<&'a Node> {
        self.note_missing(key, help);
        self.get(key)
    }

    /// The same, read as [`Fields::get_list`] does.
    pub fn require_list(&mut self, key: &'static str, help: &'static str) -> Option<&'a Node> {
        self.note_missing(key, help);
        self.get_list(key)
    }

    /// What is missing from something that is no mapping is not worth a word.
    fn note_missing(&mut self, key: &'static str, help: &'static str) {
        if self.is_mapping && !self.has(key) {
            self.missing.push((key, help));
        }
    }

    /// The value of `key` as `parse` reads it.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.get(key)?;
        scalar(node, self.problems, parse)
    }

    /// Overwrites `slot` with the value of `key`, if it is there.
    pub fn set<T>(
        &mut self,
        key: &'static str,
        slot: &mut T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) {
        if let Some(value) = self.parsed(key, parse) {
            *slot = value;
        }
    }

    /// Whether `key` is there, with a value or without.
    pub fn has(&self, key: &str) -> bool {
        let short = self.short.is_some_and(|(short, _)| short == key);
        short || self.entries.iter().any(|entry| &*entry.key == key)
    }

    /// The entries that nobody asked for so far, for those who read them in their own way.
    pub fn rest(&self) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let known = self.known.clone();
        self.entries.iter().filter(move |entry| !known.contains(&&*entry.key))
    }

    /// Ends the reading: what is left over is an error, and so is what is missing.
    pub fn finish(mut self) {
        for entry in self.rest() {
            let near = nearest(&entry.key, self.known.iter().copied());
            // The slip explains what is missing.
            self.missing.retain(|(key, _)| Some(*key) != near);
            let message = format!("unknown key `{}`", entry.key);
            self.problems.error(entry.span, message, suggestion(near, &self.known));
        }
        for (key, help) in self.missing {
            self.problems.error(self.span, format!("`{key}` is missing"), help);
        }
    }
}

/// The items of a sequence; none, and a problem, if `node` is no sequence.
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

/// Says what is wanted in place of `node`, or why nobody knows what it is.
pub fn unfit(node: &Node, wanted: &str, help: &str, problems: &Problems) {
    match &node.value {
        Value::Unknown(fault) => problems.error(node.span, &*fault.message, &*fault.help),
        _ => problems.error(node.span, format!("{wanted} {}", node.owner), help),
    }
}

/// The same, of a list that makes no sense without any.
pub fn some_items<'a>(node: &'a Node, problems: &Problems) -> &'a [Node] {
    let before = problems.count();
    let items = items(node, problems);
    if items.is_empty() && problems.count() == before {
        problems.error(node.span, "the list is empty", "give it an item");
    }
    items
}

/// The text of a scalar as `parse` reads it.
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
            problems.error(node.span, node.veil(message), "");
            None
        }
    }
}

/// Text as it is, but not none.
pub fn text(text: &str) -> Result<String, String> {
    match text {
        "" => Err("the text is empty: write at least a character".into()),
        text => Ok(text.into()),
    }
}

/// `true` or `false`.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false: write one of the two")),
    }
}

/// One of a few words.
pub fn word<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let near = nearest(text, known.iter().copied());
            format!("unknown value `{text}`: {}", suggestion(near, &known))
        })
    }
}

/// A whole number.
pub fn count<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let number = text.parse().map_err(|_| {
            format!("`{text}` is not a whole number: write digits alone, such as 16")
        })?;
        within(number, text, &range, |n| n.to_string())
    }
}

/// A number of bytes.
pub fn size<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> {
    move |text| within(units::parse_size(text)?, text, &range, show_size)
}

/// A time that passes.
pub fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let value = units::parse_duration(text)?;
        if range.contains(&value) {
            return Ok(value);
        }
        let (least, most) = range.clone().into_inner();
        let (least, most) = (show_duration(least), show_duration(most));
        Err(format!("`{text}` is out of range: write {least} to {most}"))
    }
}

fn within<T: TryFrom<u64>>(
    value: u64,
    text: &str,
    range: &RangeInclusive<u64>,
    show: fn(u64) -> String,
) -> Result<T, String> {
    let fitting = range.contains(&value).then(|| T::try_from(value).ok());
    fitting.flatten().ok_or_else(|| {
        let (least, most) = (show(*range.start()), show(*range.end()));
        format!("`{text}` is out of range: write {least} to {most}")
    })
}

fn show_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units.iter().find(|(each, _)| bytes >= *each && bytes.is_multiple_of(*each));
    whole.map_or(format!("{bytes}"), |(each, unit)| format!("{}{unit}", bytes / each))
}

fn show_duration(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let whole = units.iter().find(|(each, _)| millis >= *each && millis.is_multiple_of(*each));
    whole.map_or(format!("{millis}ms"), |(each, unit)| format!("{}{unit}", millis / each))
}
