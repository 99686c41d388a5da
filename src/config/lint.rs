//! Lint: warnings about valid matches that hardly any request can meet.

use std::collections::HashSet;

use super::keys::ROUTE;
use super::node::{Node, Value};
use super::report::{Problems, Span};
use crate::route::{FieldMatch, Forward, Grammar, PathMatch, Route, ValueMatch, matches_some};
use crate::text::keys::Row as _;

/// Warns of `routes` for certain clients, where no listener asks clients for a certificate.
pub fn clients(routes: Option<&Node>, problems: &Problems) {
    let Some(Value::Seq(routes)) = routes.map(|node| &node.value) else { return };
    let maps = routes.iter().filter_map(|route| match &route.value {
        Value::Map(entries) => Some(entries),
        _ => None,
    });
    for entry in maps.flatten().filter(|entry| &*entry.key == ROUTE.allowed_clients.name()) {
        let help = "give a listener `tls` with `client_ca`";
        problems.warn(
            entry.span,
            "no client is let through: none is asked for a certificate",
            help,
        );
    }
}

/// Warns about suspicious paths.
pub fn path(path: &PathMatch, at: Span, problems: &Problems) {
    match path {
        PathMatch::GrpcService(name) => method_after_dot(name, at, problems),
        PathMatch::Exact(path) | PathMatch::Prefix(path) => placeholders(path, at, problems),
        PathMatch::Regex(pattern) if !matches_some(pattern, Grammar::Path) => {
            let help = match pattern.as_str().strip_prefix('^').unwrap_or(pattern.as_str()) {
                text if text.starts_with('/') => {
                    "it is compared with the whole path, as it is sent and without its query".into()
                }
                text => {
                    format!("a path begins with `/`, and is compared whole: `/{text}`, `.*{text}`")
                }
            };
            let message = format!("no path matches `{}`", pattern.as_str());
            problems.warn(at, message, help);
        }
        PathMatch::GrpcRegex(pattern) if !matches_some(pattern, Grammar::GrpcMethod) => {
            let message = format!("no gRPC method matches `{}`", pattern.as_str());
            let help = "it is compared with all of pkg.Service/Method, without a `/` at its start";
            problems.warn(at, message, help);
        }
        _ => {}
    }
}

/// Warns about a gRPC route whose services speak HTTP/1.1 (those in `http1`).
pub fn protocol(
    path: &PathMatch,
    route: &Route,
    http1: &HashSet<&str>,
    at: Span,
    problems: &Problems,
) {
    let Route::Forward(Forward { split, mirror, .. }) = route else { return };
    let shares = split.shares().iter().map(|share| share.name.as_ref());
    let services = shares.chain(mirror.iter().map(|mirror| mirror.name.as_ref()));
    for service in services.filter(|service| path.is_grpc() && http1.contains(service)) {
        let message = format!("no gRPC request succeeds at `{service}`, which speaks HTTP/1.1");
        let help = "gRPC needs HTTP/2: take `protocol` out of the service, or match by `path`";
        problems.warn(at, message, help);
    }
}

/// `shop.Orders.Get`: by convention packages are lower-case, so `Orders` is the service.
fn method_after_dot(path: &str, at: Span, problems: &Problems) {
    let name = path.strip_prefix('/').unwrap_or(path);
    let Some((service, method)) = name.rsplit_once('.') else { return };
    let capital = |part: &str| part.starts_with(|c: char| c.is_ascii_uppercase());
    if service.split('.').any(capital) {
        let message = format!("`{name}` is a service `{method}` in a package `{service}`");
        problems.warn(at, message, format!("for the method write `{service}/{method}`"));
    }
}

/// `/api/*`, `/users/{id}`, `/users/:id`: placeholders are taken literally.
fn placeholders(path: &str, at: Span, problems: &Problems) {
    let special = path.chars().find(|c| "*{}[]|\\^\"<>`".contains(*c));
    let special = special.or_else(|| path.contains("/:").then_some(':'));
    if let Some(special) = special {
        let message = format!("`{special}` stands for itself in `{path}`");
        let help = "`path_prefix: /api` is all below /api; for patterns there is `path_regex: \"/users/[^/]+\"`";
        problems.warn(at, message, help);
    }
}

/// Warns about suspicious header values.
pub fn headers(headers: &[FieldMatch], at: Span, problems: &Problems) {
    for FieldMatch { name, value } in headers {
        let padded = match value {
            ValueMatch::Exact(text) => text.trim() != &**text,
            ValueMatch::Prefix(text) => text.trim_start() != &**text,
            _ => false,
        };
        if padded {
            let message = format!("no value of `{name}` begins or ends with a blank");
            problems.warn(at, message, "blanks around values are not part of them: leave them out");
        }
    }
}

/// Warns about conditions on query parameters that no request can meet.
pub fn query(query: &[FieldMatch], path: Option<&PathMatch>, at: Span, problems: &Problems) {
    let asked = query.iter().find(|field| !matches!(field.value, ValueMatch::Absent));
    if let Some(field) = asked.filter(|_| path.is_some_and(PathMatch::is_grpc)) {
        let message = format!("gRPC requests have no query, so none has `{}`", field.name);
        problems.warn(at, message, "ask for a header, which is gRPC's metadata");
    }
    for FieldMatch { name, .. } in query {
        if name.contains(['%', '&', '=', '?', '#']) {
            let message = format!("no parameter is called `{name}`");
            problems.warn(at, message, "names are compared decoded, and without `?`, `&` and `=`");
        }
    }
}
