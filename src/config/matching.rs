//! Reads a route's `match`.

use std::collections::HashMap;

use super::keys::{MATCH, VALUE};
use super::lint;
use super::node::{Entry, Node, Value};
use super::read::{Fields, unfit};
use super::report::{Problems, Span};
use crate::route::{Conditions, FieldMatch, Match, PathMatch, ValueMatch};

/// The maximum number of headers, and of query parameters, in a match.
pub const MAX_FIELDS: usize = 16;

/// Reads a `match`, or records errors. A partly valid match is dropped: it would be another match,
/// and clash with other routes.
pub fn read(node: &Node, problems: &Problems) -> Option<Match> {
    let before = problems.count();
    let fields = Fields::of(node, &MATCH, problems);
    let host = fields.optional(&MATCH.host);
    let path = path(&fields, node.span, problems);
    let method = fields.placed(&MATCH.method);
    let headers = fields.get(&MATCH.headers).map(|node| {
        let headers = list(node, header_name, problems);
        lint::headers(&headers, node.span, problems);
        headers
    });
    let query = fields.get(&MATCH.query).map(|node| {
        let query = list(node, parameter_name, problems);
        lint::query(&query, path.as_ref(), node.span, problems);
        query
    });
    fields.finish();
    if let Some((_, at)) = method
        && path.as_ref().is_some_and(PathMatch::is_grpc)
    {
        let help = "leave `method` out: `grpc` asks for it already";
        problems.error(at, "every gRPC request is a POST", help);
    }
    let conditions = Conditions {
        method: method.map(|(method, _)| method),
        headers: headers.unwrap_or_default(),
        query: query.unwrap_or_default(),
    };
    (problems.count() == before).then(|| Match {
        host: host.unwrap_or_default(),
        path: path.unwrap_or_default(),
        conditions,
    })
}

/// The path; at most one of its keys may be given.
fn path(fields: &Fields<'_>, at: Span, problems: &Problems) -> Option<PathMatch> {
    let kinds =
        [&MATCH.grpc, &MATCH.grpc_regex, &MATCH.path, &MATCH.path_prefix, &MATCH.path_regex];
    let mut given = kinds.into_iter().filter(|key| fields.has(*key));
    let path = given.next().and_then(|key| {
        let (path, at) = fields.placed(key)?;
        lint::path(&path, at, problems);
        Some(path)
    });
    if given.next().is_some() {
        let message = "a match has one of `grpc`, `grpc_regex`, `path`, `path_prefix` and \
                       `path_regex`";
        problems.error(at, message, "make it several routes");
    }
    path
}

/// Parses an HTTP method.
pub fn http_method(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        let upper = text.to_ascii_uppercase();
        return Err(format!("`{text}` is not a method: write it in capitals, such as `{upper}`"));
    }
    if text == "CONNECT" {
        return Err("CONNECT is not supported, so it has no route".into());
    }
    Ok(text.into())
}

/// Reads conditions by name.
fn list(
    node: &Node,
    name: fn(&str) -> Result<Box<str>, String>,
    problems: &Problems,
) -> Box<[FieldMatch]> {
    let Value::Map(entries) = &node.value else {
        let help = "write { name: value, … }";
        unfit(node, "a mapping from names to values is wanted", help, problems);
        return Box::default();
    };
    if entries.len() > MAX_FIELDS {
        let message = format!("{} names stand here: write {MAX_FIELDS} at most", entries.len());
        problems.error(node.span, message, "");
    }
    let mut seen: HashMap<Box<str>, Span> = HashMap::new();
    let mut list = Vec::with_capacity(entries.len());
    for entry in entries {
        match (name(&entry.key), value(entry, problems)) {
            (Err(message), _) => problems.error(entry.span, message, ""),
            (Ok(name), value) => {
                if let Some(first) = seen.insert(name.clone(), entry.span) {
                    let message = format!("`{name}` is asked for twice");
                    problems.error_again(entry.span, message, first);
                }
                list.extend(value.map(|value| FieldMatch { name, value }));
            }
        }
    }
    list.sort_by(|a, b| a.name.cmp(&b.name));
    list.into()
}

/// Parses a header name; lower case.
pub fn header_name(text: &str) -> Result<Box<str>, String> {
    if let Some(pseudo) = text.strip_prefix(':') {
        return Err(format!(
            "`{text}` is not a header: what is asked of it has a key of its own, such as \
             `{pseudo}` or `host`"
        ));
    }
    if text.eq_ignore_ascii_case("host") {
        return Err("`host` may not be there in HTTP/2: use the key `host` of the route".into());
    }
    match http::HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) => Ok(name.as_str().into()),
        Err(_) => Err(format!("`{}` is not a header's name", text.escape_debug())),
    }
}

fn parameter_name(text: &str) -> Result<Box<str>, String> {
    match text {
        "" => Err("a query parameter has a name".into()),
        text => Ok(text.into()),
    }
}

const HELP_VALUE: &str = "write the value itself, or one of { exact: … }, { prefix: … }, \
                          { regex: … }, { present: true } and { present: false }";

/// Parses a prefix of a value.
pub fn prefix(text: &str) -> Result<ValueMatch, String> {
    match text {
        "" => Err("everything begins so: write `present: true`".into()),
        text => Ok(ValueMatch::Prefix(text.into())),
    }
}

/// Reads a condition: a plain value, or a mapping with one key.
fn value(entry: &Entry, problems: &Problems) -> Option<ValueMatch> {
    let node = &entry.value;
    match &node.value {
        Value::Scalar(text) => Some(ValueMatch::Exact(text.clone())),
        Value::Map(entries) if entries.len() == 1 => {
            let fields = Fields::of(node, &VALUE, problems);
            let exact = fields.optional(&VALUE.exact);
            let prefix = fields.optional(&VALUE.prefix);
            let regex = fields.optional(&VALUE.regex);
            let present = fields.optional(&VALUE.present).map(|present| match present {
                true => ValueMatch::Present,
                false => ValueMatch::Absent,
            });
            fields.finish();
            exact.or(prefix).or(regex).or(present)
        }
        Value::Unknown(_) => {
            unfit(node, "a value is wanted", HELP_VALUE, problems);
            None
        }
        _ => {
            let message = format!("`{}` is asked for nothing that can be compared", entry.key);
            problems.error(entry.span, message, HELP_VALUE);
            None
        }
    }
}
