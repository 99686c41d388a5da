//! YAML as editors parse it: scalars by the core schema, aliases expanded.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// An unclosed collection.
struct Open {
    value: Value,
    anchor: usize,
    key: Option<String>,
}

/// Parses `text`.
pub fn read(text: &str) -> Value {
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Value> = HashMap::new();
    let mut root = Value::Null;
    for event in Parser::new_from_str(text) {
        let (value, anchor) = match event.unwrap().0 {
            Event::Scalar(text, style, anchor, _) => {
                (scalar(&text, style == ScalarStyle::Plain), anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                open.push(Open { value: Value::Array(Vec::new()), anchor, key: None });
                continue;
            }
            Event::MappingStart(_, anchor, _) => {
                open.push(Open { value: Value::Object(Map::new()), anchor, key: None });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let closed = open.pop().unwrap();
                (closed.value, closed.anchor)
            }
            Event::Alias(anchor) => (anchors[&anchor].clone(), 0),
            _ => continue,
        };
        anchors.insert(anchor, value.clone());
        let Some(parent) = open.last_mut() else {
            root = value;
            continue;
        };
        match (&mut parent.value, parent.key.take()) {
            (Value::Object(entries), Some(key)) => {
                entries.insert(key, value);
            }
            (Value::Object(_), None) => {
                parent.key = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
            (Value::Array(items), _) => items.push(value),
            _ => unreachable!("only collections are open"),
        }
    }
    root
}

fn scalar(text: &str, plain: bool) -> Value {
    let number =
        || text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from));
    match text {
        text if !plain => text.into(),
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "false" => (text == "true").into(),
        text if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
            number().unwrap_or_else(|_| text.into())
        }
        text => text.into(),
    }
}
