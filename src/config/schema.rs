//! Generates the JSON Schema (draft 2020-12) from the rows of the keys, for completion and
//! validation in editors.
//!
//! It is equivalent to [`parse`](super::parse), except for what a schema cannot express: references
//! by name, duplicates, contents of files.

mod rules;

use serde_json::{Map, Value, json};

use super::keys::{BALANCER, TOP, pattern};
use crate::balance::{POLICIES, policy};
use crate::text::keys::{Absent, Keys, Many, Plain, Row, Section, Shape, Short, Text, ValueKind};

/// A value with a variable, which is only known when the file is read.
const VARIABLE: &str = r"\$\{";

/// The schema as text.
pub fn schema() -> String {
    let mut parts = Map::new();
    let mut root = object(TOP.section(), &mut parts);
    root.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".into(), json!("Configuration of Equipoise"));
    root.insert("$defs".into(), Value::Object(parts));
    format!("{:#}\n", Value::Object(root))
}

/// The schema of a mapping.
fn object(section: &'static Section, parts: &mut Map<String, Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for row in section.rows() {
        properties.insert(row.name().into(), described(row, parts));
        if matches!(row.absent(), Absent::Required(_)) {
            required.push(row.name());
        }
    }
    if section.path == BALANCER.section().path {
        let settings = POLICIES.iter().filter_map(|policy| policy.settings());
        for row in settings.flat_map(|keys| keys.section().rows()) {
            properties.insert(row.name().into(), described(row, parts));
        }
    }
    let mut object = Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), Value::Object(properties)),
        ("additionalProperties".to_owned(), json!(false)),
    ]);
    if !required.is_empty() {
        object.insert("required".into(), json!(required));
    }
    object.extend(rules::of(section));
    object
}

/// A `$ref` to the definition of a mapping.
fn reference(keys: &'static dyn Keys, parts: &mut Map<String, Value>) -> Value {
    let section = keys.section();
    let name = section.path.replace("[]", "").replace(".*", "");
    if !parts.contains_key(&name) {
        parts.insert(name.clone(), Value::Null); // placeholder, so that it is defined once
        let object = Value::Object(object(section, parts));
        let part = match short(section) {
            None => object,
            Some(short) => json!({ "anyOf": [object, short] }),
        };
        parts.insert(name.clone(), part);
    }
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// The schema of a shorthand.
fn short(section: &'static Section) -> Option<Value> {
    let key = match section.short {
        Short::No => return None,
        Short::Word(word) => return Some(words(&[word])),
        Short::Key(key) => key,
    };
    let row = section.rows().find(|row| row.name() == key)?;
    let Shape::Value(kind) = row.shape() else { return None };
    if section.path == BALANCER.section().path {
        // The other policies have required settings.
        let alone: Vec<&str> = POLICIES.iter().map(|policy| policy.name()).collect();
        let alone: Vec<&str> = alone.into_iter().filter(|name| needs_nothing(name)).collect();
        return Some(words(&alone));
    }
    match rules::of_short(section) {
        None => Some(value(kind)),
        Some(rule) => Some(json!({ "allOf": [value(kind), rule] })),
    }
}

fn needs_nothing(name: &str) -> bool {
    let settings = policy(name).and_then(|policy| policy.settings());
    let mut rows = settings.into_iter().flat_map(|keys| keys.section().rows());
    rows.all(|row| !matches!(row.absent(), Absent::Required(_)))
}

/// The schema of a key's value, with its description.
fn described(row: &dyn Row, parts: &mut Map<String, Value>) -> Value {
    let mut schema = match row.shape() {
        Shape::Value(kind) => value(kind),
        Shape::Values(kind, many) => list(value(kind), many),
        Shape::Mapping(keys) => reference(keys, parts),
        Shape::Mappings(keys, many) => list(reference(keys, parts), many),
        Shape::Named(names, keys, many) => named(names, reference(keys, parts), many),
        Shape::NamedValues(names, kind) => named(names, value(kind), Many::Some),
    };
    let mut text = plain(row.doc());
    match row.absent() {
        Absent::Value(default) => {
            if let Shape::Value(kind) = row.shape()
                && let Some(schema) = schema.as_object_mut()
            {
                schema.insert("default".into(), literal(kind, &default));
            }
        }
        Absent::Words(words) => text += &format!(". Default: {words}"),
        Absent::Profiles([internal, edge, backends]) => {
            text +=
                &format!(". Default: {internal} (internal), {edge} (edge), {backends} (backends)");
        }
        Absent::Required(_) | Absent::Nothing => {}
    }
    if row.restart() {
        text += ". A change waits for a restart";
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".into(), json!(text));
    }
    schema
}

/// Strips links: `[text](target)` becomes `text`.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, target)) = rest.split_once("](") {
        let Some((_, after)) = target.split_once(')') else { break };
        match before.rsplit_once('[') {
            Some((before, linked)) => out.extend([before, linked]),
            None => out.push_str(before),
        }
        rest = after;
    }
    out + rest
}

/// A default as a JSON literal.
fn literal(kind: ValueKind, text: &str) -> Value {
    let number = || text.parse::<u64>().map(Value::from);
    match kind {
        ValueKind::Number(..) => number().unwrap_or_else(|_| json!(text)),
        ValueKind::Boolean => json!(text == "true"),
        _ => json!(text),
    }
}

/// The schema of a scalar.
fn value(kind: ValueKind) -> Value {
    let Some(pattern) = pattern::of(kind) else {
        return match kind {
            ValueKind::Words(list) => words(&list()),
            _ => json!({ "type": ["boolean", "string"], "pattern": whole("true|false") }),
        };
    };
    let mut schema = json!({ "type": "string", "pattern": whole(&pattern) });
    let range = match kind {
        ValueKind::Size(least, most) | ValueKind::Number(least, most) => {
            Some(("integer", json!(least), json!(most)))
        }
        ValueKind::Text(Text { plain: Plain::Integers(least, most), .. }) => {
            Some(("integer", json!(least), json!(most)))
        }
        ValueKind::Text(Text { plain: Plain::Numbers(least, most), .. }) => {
            Some(("number", json!(least), json!(most)))
        }
        ValueKind::Text(Text { plain: Plain::Any, .. }) => {
            schema["type"] = json!(["string", "number", "boolean"]);
            None
        }
        ValueKind::Text(Text { plain: Plain::Booleans, .. }) => {
            schema["type"] = json!(["string", "boolean"]);
            None
        }
        _ => None,
    };
    if let Some((number, least, most)) = range {
        schema["type"] = json!([number, "string"]);
        schema["minimum"] = least;
        schema["maximum"] = most;
    }
    schema
}

/// An anchored pattern; also matches text with a variable.
fn whole(pattern: &str) -> String {
    format!("^(?:{pattern})$|{VARIABLE}")
}

/// An enum of keywords, including numbers for those that YAML reads as such.
fn words(words: &[&str]) -> Value {
    let numbers = words.iter().filter_map(|word| word.parse::<u64>().ok()).map(Value::from);
    let all: Vec<Value> = words.iter().map(|word| json!(word)).chain(numbers).collect();
    json!({ "anyOf": [{ "enum": all }, variable()] })
}

/// A string with a variable.
fn variable() -> Value {
    json!({ "type": "string", "pattern": VARIABLE })
}

fn list(items: Value, many: Many) -> Value {
    match many {
        Many::Some => json!({ "type": "array", "items": items, "minItems": 1 }),
        Many::Any => or_none(json!({ "type": ["array", "null"], "items": items })),
        Many::UpTo(most) => {
            or_none(json!({ "type": ["array", "null"], "items": items, "maxItems": most }))
        }
    }
}

/// Also allows null, and a variable that may be empty.
fn or_none(list: Value) -> Value {
    json!({ "anyOf": [list, variable()] })
}

fn named(names: &Text, each: Value, many: Many) -> Value {
    let names = format!("^(?:{})$", (names.pattern)());
    let names = json!({ "pattern": names });
    let mut schema =
        json!({ "type": "object", "propertyNames": names, "additionalProperties": each });
    match many {
        Many::Some => schema,
        Many::UpTo(most) => {
            schema["maxProperties"] = json!(most);
            schema
        }
        Many::Any => {
            schema["type"] = json!(["object", "null"]);
            or_none(schema)
        }
    }
}
