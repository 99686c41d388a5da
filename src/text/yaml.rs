//! YAML, and so JSON, as a plain value: for files that are not our configuration, whose reader has its
//! own tree with locations.

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// Maximum depth of nested collections.
const MAX_DEPTH: usize = 32;

/// Maximum number of values.
const MAX_VALUES: usize = 1_000_000;

/// Parses one document. Aliases and tags are refused.
///
/// # Errors
/// What is wrong, with the line.
pub fn parse(text: &str) -> Result<Value, String> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            format!(
                "line {}: this is neither YAML nor JSON: {}",
                error.marker().line(),
                error.info()
            )
        })?;
        builder.step(event).map_err(|wrong| format!("line {}: {wrong}", span.start.line()))?;
    }
    builder.root.ok_or_else(|| "the file is empty".into())
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    values: usize,
    root: Option<Value>,
}

/// A collection under construction.
enum Open {
    List(Vec<Value>),
    /// With the key that awaits its value.
    Mapping(Map<String, Value>, Option<String>),
}

impl Builder {
    fn step(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, _, tag) => {
                refuse(tag.is_some(), "tags are not understood")?;
                self.scalar(&text, style == ScalarStyle::Plain)
            }
            Event::SequenceStart(_, _, tag) => {
                refuse(tag.is_some(), "tags are not understood")?;
                self.open.push(Open::List(Vec::new()));
                refuse(self.open.len() > MAX_DEPTH, "it is nested too deep")
            }
            Event::MappingStart(_, _, tag) => {
                refuse(tag.is_some(), "tags are not understood")?;
                self.open.push(Open::Mapping(Map::new(), None));
                refuse(self.open.len() > MAX_DEPTH, "it is nested too deep")
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(items)) => self.place(Value::Array(items)),
                Some(Open::Mapping(entries, _)) => self.place(Value::Object(entries)),
                None => Ok(()),
            },
            Event::Alias(_) | Event::UnresolvedAlias(_) => Err("aliases are not understood".into()),
            Event::DocumentStart(..) => {
                refuse(self.root.is_some(), "a second document starts here")
            }
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, plain: bool) -> Result<(), String> {
        if let Some(Open::Mapping(entries, key @ None)) = self.open.last_mut() {
            refuse(entries.contains_key(text), &format!("`{text}` stands twice"))?;
            *key = Some(text.to_owned());
            return Ok(());
        }
        self.place(if plain { typed(text) } else { Value::from(text) })
    }

    fn place(&mut self, value: Value) -> Result<(), String> {
        self.values += 1;
        refuse(self.values > MAX_VALUES, "it has too many values")?;
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Mapping(entries, key)) => {
                let key = key.take().ok_or("a key is a list or mapping")?;
                entries.insert(key, value);
            }
        }
        Ok(())
    }
}

fn refuse(wrong: bool, message: &str) -> Result<(), String> {
    if wrong { Err(message.to_owned()) } else { Ok(()) }
}

/// What an unquoted text stands for.
fn typed(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => {
            let whole = text.parse::<i64>().ok().map(Number::from);
            let number = whole.or_else(|| text.parse().ok().and_then(Number::from_f64));
            number.map_or_else(|| Value::from(text), Value::Number)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_and_json_are_the_same_values() {
        let expected = json!([
            { "targets": ["10.0.0.1:80", "b:1"], "labels": { "weight": "2", "up": true } },
            { "n": 3, "x": null, "half": 0.5 },
        ]);
        let json = serde_json::to_string_pretty(&expected).unwrap();
        assert_eq!(parse(&json).unwrap(), expected);
        let yaml = "- targets: [ '10.0.0.1:80', b:1 ]\n  labels: { weight: \"2\", up: true }\n- { n: 3, x: ~, half: 0.5 }\n";
        assert_eq!(parse(yaml).unwrap(), expected);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for (text, says) in [
            ("", "empty"),
            ("a: 1\nb: [", "line 2"),
            ("a: &x 1\nb: *x\n", "line 2: aliases"),
            ("a: !!str 1\n", "line 1: tags"),
            ("a: 1\na: 2\n", "line 2: `a` stands twice"),
            ("a: 1\n---\nb: 2\n", "second document"),
            (&"[".repeat(40), "line 1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }
}
