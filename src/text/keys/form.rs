//! The form of a scalar value: its description as data, and its parser.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::text::{nearest, suggestion, units};

/// The type and range of a scalar.
#[derive(Clone, Copy)]
pub enum ValueKind {
    /// A duration within bounds, inclusive.
    Duration(Duration, Duration),
    /// A size in bytes within bounds, inclusive.
    Size(u64, u64),
    /// An integer within bounds, inclusive.
    Number(u64, u64),
    /// One of these keywords.
    Words(fn() -> Vec<&'static str>),
    /// `true` or `false`.
    Boolean,
    /// Text of a named format.
    Text(&'static Text),
}

/// A text format.
pub struct Text {
    /// Its name for people.
    pub name: &'static str,
    /// Restrictions in words; empty if the name says it all.
    pub range: &'static str,
    /// The regular expression that it matches.
    pub pattern: fn() -> String,
    /// Which unquoted non-string values YAML may read it as.
    pub plain: Plain,
}

/// YAML scalars that parse as other types unless quoted, but are text here.
#[derive(Clone, Copy)]
pub enum Plain {
    /// None of them fits.
    Never,
    /// Numbers and booleans.
    Any,
    /// Booleans.
    Booleans,
    /// Integers within bounds, inclusive.
    Integers(u64, u64),
    /// Numbers within bounds, inclusive.
    Numbers(f64, f64),
}

/// How a `T` is parsed and shown.
pub struct Form<T: 'static> {
    /// Its type and range.
    pub kind: ValueKind,
    parse: Parse<T>,
    show: fn(&T) -> String,
}

enum Parse<T> {
    Within(fn(&str, ValueKind) -> Result<T, String>),
    Text(fn(&str) -> Result<T, String>),
}

impl<T> Form<T> {
    /// Parses `text`.
    ///
    /// # Errors
    /// What is wrong, and how to fix it.
    pub fn read(&self, text: &str) -> Result<T, String> {
        match self.parse {
            Parse::Within(parse) => parse(text, self.kind),
            Parse::Text(parse) => parse(text),
        }
    }

    /// Formats the value as one would write it.
    pub fn show(&self, value: &T) -> String {
        (self.show)(value)
    }
}

/// An integer type of a key's value.
pub trait Number: Copy + TryFrom<u64> + TryInto<u64> {}
impl<T: Copy + TryFrom<u64> + TryInto<u64>> Number for T {}

/// A type whose values are written as keywords.
pub trait Word: Copy + PartialEq + 'static {
    /// The keywords and the values they stand for.
    const WORDS: &'static [(&'static str, Self)];
}

/// An integer.
pub const fn number<T: Number>(range: RangeInclusive<u64>) -> Form<T> {
    let kind = ValueKind::Number(*range.start(), *range.end());
    Form { kind, parse: Parse::Within(read_number), show: |value| wide(*value).to_string() }
}

/// A size in bytes.
pub const fn size<T: Number>(range: RangeInclusive<u64>) -> Form<T> {
    let kind = ValueKind::Size(*range.start(), *range.end());
    Form { kind, parse: Parse::Within(read_number), show: |value| units::show_size(wide(*value)) }
}

/// A duration.
pub const fn duration(range: RangeInclusive<Duration>) -> Form<Duration> {
    let kind = ValueKind::Duration(*range.start(), *range.end());
    Form { kind, parse: Parse::Within(read_duration), show: |value| units::show_duration(*value) }
}

/// One of the keywords of `T`.
pub const fn word<T: Word>() -> Form<T> {
    words(
        || T::WORDS.iter().map(|(word, _)| *word).collect(),
        read_word,
        |value| {
            let found = T::WORDS.iter().find(|(_, meant)| meant == value);
            found.map_or_else(String::new, |(word, _)| (*word).to_owned())
        },
    )
}

/// One of `words`, parsed by `parse`.
pub const fn words<T>(
    words: fn() -> Vec<&'static str>,
    parse: fn(&str) -> Result<T, String>,
    show: fn(&T) -> String,
) -> Form<T> {
    Form { kind: ValueKind::Words(words), parse: Parse::Text(parse), show }
}

/// `true` or `false`.
pub const fn boolean() -> Form<bool> {
    Form { kind: ValueKind::Boolean, parse: Parse::Text(read_boolean), show: ToString::to_string }
}

/// Text, parsed by `parse` and formatted by `show`.
pub const fn text<T>(
    text: &'static Text,
    parse: fn(&str) -> Result<T, String>,
    show: fn(&T) -> String,
) -> Form<T> {
    Form { kind: ValueKind::Text(text), parse: Parse::Text(parse), show }
}

fn wide<T: Number>(value: T) -> u64 {
    value.try_into().unwrap_or(u64::MAX)
}

fn read_number<T: Number>(text: &str, kind: ValueKind) -> Result<T, String> {
    let (value, least, most, show): (u64, u64, u64, fn(u64) -> String) = match kind {
        ValueKind::Size(least, most) => (units::parse_size(text)?, least, most, units::show_size),
        ValueKind::Number(least, most) => {
            let value = text.parse().map_err(|_| {
                format!("`{text}` is not a whole number: write digits alone, such as 16")
            });
            (value?, least, most, |value| value.to_string())
        }
        _ => return Err(format!("`{text}` is not a number")),
    };
    let fitting = (least..=most).contains(&value).then(|| T::try_from(value).ok());
    fitting.flatten().ok_or_else(|| out_of_range(text, &show(least), &show(most)))
}

fn read_duration(text: &str, kind: ValueKind) -> Result<Duration, String> {
    let value = units::parse_duration(text)?;
    match kind {
        ValueKind::Duration(least, most) if !(least..=most).contains(&value) => {
            let least = units::show_duration(least);
            if most == Duration::MAX {
                return Err(format!("`{text}` is out of range: write {least} or more"));
            }
            Err(out_of_range(text, &least, &units::show_duration(most)))
        }
        _ => Ok(value),
    }
}

fn out_of_range(text: &str, least: &str, most: &str) -> String {
    format!("`{text}` is out of range: write {least} to {most}")
}

fn read_word<T: Word>(text: &str) -> Result<T, String> {
    let found = T::WORDS.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        let near = nearest(text, known.iter().copied());
        format!("unknown value `{text}`: {}", suggestion(near, &known))
    })
}

fn read_boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false: write one of the two")),
    }
}
