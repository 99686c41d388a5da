//! Reads a route's filters and redirects.

use std::collections::HashMap;

use super::keys::{EDITS, FILTERS, REDIRECT, REWRITE, Scheme};
use super::node::{Node, Value};
use super::read::{Fields, scalar, unfit};
use super::report::{Problems, Span};
use crate::route::{
    Filters, HeaderEdit, HostMatch, PathMatch, PathRewrite, Redirect, RedirectStatus, check_path,
};

/// The maximum length of a header value.
const MAX_VALUE: usize = 4096;

/// Reads filters, on top of `filters`. `path` is the route's match, if valid.
pub fn read(
    fields: &Fields<'_>,
    mut filters: Filters,
    path: Option<&PathMatch>,
    problems: &Problems,
) -> Filters {
    if let Some(node) = fields.get(&FILTERS.rewrite) {
        let fields = Fields::of(node, &REWRITE, problems);
        let host = fields.optional(&REWRITE.host);
        let paths = (fields.placed(&REWRITE.path), fields.placed(&REWRITE.prefix));
        let rewrite = path_rewrite(paths, node.span, path, problems);
        fields.finish();
        filters.host = host.or(filters.host);
        filters.path = rewrite.or(filters.path);
    }
    if let Some(node) = fields.get(&FILTERS.request_headers) {
        filters.request.extend(edits(node, problems));
    }
    if let Some(node) = fields.get(&FILTERS.response_headers) {
        filters.response.extend(edits(node, problems));
    }
    filters
}

/// Reads a `redirect`.
pub fn redirect(node: &Node, path: Option<&PathMatch>, problems: &Problems) -> Option<Redirect> {
    let before = problems.count();
    let fields = Fields::of(node, &REDIRECT, problems);
    let paths = (fields.placed(&REDIRECT.path), fields.placed(&REDIRECT.prefix));
    let redirect = Redirect {
        scheme: fields.optional(&REDIRECT.scheme).map(|Scheme(scheme)| scheme),
        host: fields.optional(&REDIRECT.host),
        port: fields.optional(&REDIRECT.port),
        path: path_rewrite(paths, node.span, path, problems),
        status: fields.value(&REDIRECT.status),
    };
    fields.finish();
    let elsewhere = Redirect { status: RedirectStatus::default(), ..redirect.clone() };
    if problems.count() == before && elsewhere == Redirect::default() {
        let help = "give it one of `scheme`, `host`, `port`, `path` and `prefix`";
        problems.error(node.span, "this redirect leads back to where the client comes from", help);
    }
    (problems.count() == before).then_some(redirect)
}

/// A path with its source location.
type Placed = Option<(Box<str>, Span)>;

/// Reads `path` or `prefix`.
fn path_rewrite(
    (full, prefix): (Placed, Placed),
    at: Span,
    matched: Option<&PathMatch>,
    problems: &Problems,
) -> Option<PathRewrite> {
    if full.is_some() && prefix.is_some() {
        let help = "`path` replaces all of the path, `prefix` what `path_prefix` matches";
        problems.error(at, "the path is replaced twice", help);
    }
    if let Some((full, _)) = full {
        return Some(PathRewrite::Full(full));
    }
    let (with, at) = prefix?;
    let matched = match matched? {
        PathMatch::Prefix(prefix) => prefix.len(),
        PathMatch::Any => 0,
        _ => {
            let help = "match by `path_prefix`, or replace all of the path by `path`";
            problems.error(at, "this route matches no prefix that can be replaced", help);
            return None;
        }
    };
    Some(PathRewrite::Prefix { matched, with: with.strip_suffix('/').unwrap_or(&with).into() })
}

/// Parses a replacement path.
pub fn path(text: &str) -> Result<Box<str>, String> {
    check_path(text).map(|()| text.into())
}

/// Parses a replacement host.
pub fn host(text: &str) -> Result<Box<str>, String> {
    match HostMatch::parse(text)? {
        HostMatch::Exact(host) => Ok(host),
        _ => Err(format!("`{text}` stands for many hosts: name one")),
    }
}

/// Reads `set`, `add` and `remove`, applied in this order.
fn edits(node: &Node, problems: &Problems) -> Vec<HeaderEdit> {
    let fields = Fields::of(node, &EDITS, problems);
    let mut edits = Vec::new();
    let mut seen = HashMap::new();
    let mut once = |name: &str, at: Span| match editable(name) {
        Err(message) => {
            problems.error(at, message, "");
            None
        }
        Ok(name) => match seen.insert(name.clone(), at) {
            None => Some(name),
            Some(first) => {
                problems.error_again(at, format!("`{name}` is changed twice"), first);
                None
            }
        },
    };
    type Edit = fn(Box<str>, Box<str>) -> HeaderEdit;
    for (key, edit) in [(&EDITS.set, HeaderEdit::Set as Edit), (&EDITS.add, HeaderEdit::Add)] {
        let Some(node) = fields.get(key) else { continue };
        let Value::Map(entries) = &node.value else {
            let help = "write { name: value, … }";
            unfit(node, "a mapping from names to values is wanted", help, problems);
            continue;
        };
        for entry in entries {
            let name = once(&entry.key, entry.span);
            let value = scalar(&entry.value, problems, value);
            edits.extend(name.zip(value).map(|(name, value)| edit(name, value)));
        }
    }
    for node in fields.items(&EDITS.remove) {
        let name = scalar(node, problems, |text| Ok(text.to_owned()));
        edits.extend(name.and_then(|name| once(&name, node.span)).map(HeaderEdit::Remove));
    }
    fields.finish();
    edits
}

/// Parses the name of a header that filters may edit; lower case.
pub fn editable(name: &str) -> Result<Box<str>, String> {
    let lower = name.to_ascii_lowercase();
    match &*lower {
        "host" => return Err(format!("`{name}` is changed by `rewrite: {{ host: … }}`")),
        "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "upgrade" => {
            return Err(format!(
                "`{name}` speaks of one connection, and each has its own: leave it out"
            ));
        }
        "content-length" | "transfer-encoding" => {
            return Err(format!(
                "`{name}` says where the body ends, which no route changes: leave it out"
            ));
        }
        "grpc-encoding" | "grpc-message" | "grpc-status" => {
            return Err(format!("`{name}` is for gRPC's libraries alone to write: leave it out"));
        }
        _ if lower.starts_with(':') => {
            return Err(format!("`{name}` is no header: path and host are changed by `rewrite`"));
        }
        _ => {}
    }
    match http::HeaderName::from_bytes(lower.as_bytes()) {
        Ok(_) => Ok(lower.into()),
        Err(_) => Err(format!("`{}` is not a header's name", name.escape_debug())),
    }
}

pub fn value(text: &str) -> Result<Box<str>, String> {
    let visible = |b: u8| b.is_ascii_graphic() || b == b' ' || b == b'\t';
    if text.len() > MAX_VALUE {
        return Err(format!("the value has more than {MAX_VALUE} bytes: shorten it"));
    }
    if !text.bytes().all(visible) || text.trim() != text {
        return Err(format!(
            "`{}` is not a header's value: write visible ASCII, without blanks at its ends",
            text.escape_debug()
        ));
    }
    Ok(text.into())
}

/// Parses a percentage to parts per million.
pub fn percent(text: &str) -> Result<u32, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let exact = digits(whole) && digits(part) && part.len() <= 4;
    let value = exact.then(|| format!("{whole}{part:0<4}").parse().ok()).flatten();
    value.filter(|value| (1..=1_000_000).contains(value)).ok_or_else(|| {
        format!("`{text}` is not a part of a hundred: write 0.0001 to 100, such as 2.5")
    })
}

/// Formats parts per million as a percentage.
pub fn show_percent(per_million: &u32) -> String {
    (f64::from(*per_million) / 10_000.0).to_string()
}
