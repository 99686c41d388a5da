//! Valid routes, and the errors of invalid ones.

use std::fmt::Write as _;

use super::*;
use crate::route::{HeaderEdit, Mirror, PathRewrite};

/// The minimal example with these routes instead of its one.
#[track_caller]
pub fn with(routes: &str) -> String {
    minimal_with("  - service: orders", routes)
}

/// The errors, without the prefix that says which route they concern.
#[track_caller]
fn said(text: &str) -> Vec<String> {
    let about = |error: &String| {
        let (place, rest) = error.split_once(": route ").unwrap();
        let (_, said) = rest.split_once(": ").unwrap();
        format!("{place}: {said}")
    };
    errors(text).iter().map(about).collect()
}

/// Asserts that a match has exactly this error.
#[track_caller]
fn told(asked: &str, error: &str) {
    assert_eq!(said(&with(&format!("  - {{ match: {{ {asked} }}, service: orders }}"))), [error]);
}

/// The parsed match, formatted.
#[track_caller]
fn shown(asked: &str) -> String {
    let text = with(&format!("  - {{ match: {{ {asked} }}, service: orders }}"));
    let plan = parse(&text, Path::new("")).unwrap_or_else(|report| panic!("{report}"));
    format!("{:?}", plan.routes)
}

#[test]
fn routes_are_refused_with_the_fix() {
    refused(
        &with("  - service: order"),
        "10:14",
        &["no service `order`", "did you mean `orders`?"],
    );
    refused(&with("  - match: { path: /x }"), "10:5", &["`service` is missing"]);
    refused(
        &with("  - { service: orders, split: [ { service: orders } ] }"),
        "10:31",
        &["not both"],
    );
    refused(
        &with("  - { match: { path: /x, grpc: a.B }, service: orders }"),
        "10:14",
        &["one of `grpc`, `grpc_regex`, `path`, `path_prefix` and `path_regex`"],
    );
    refused(&with("  - { match: { host: *.x }, service: orders }"), "10:22", &["\"*.x\""]);
    let twice = "  - { match: { path_prefix: /a }, service: orders }\n  - service: orders\n  \
                 - { match: { path_prefix: /a/ }, service: orders }\n  - { match: {}, service: orders }";
    let errors = errors(&with(twice));
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors[0].starts_with("12:14: ") && errors[0].contains("first in line 10"),
        "{errors:?}"
    );
    assert!(
        errors[1].starts_with("13:14: ") && errors[1].contains("first in line 11"),
        "{errors:?}"
    );
}

#[test]
fn matches_are_parsed() {
    let values = "headers: { X-A: 1, x-b: { exact: b }, x-c: { prefix: c }, x-d: { regex: d+ }, \
                  x-e: { present: true }, x-f: { present: false }, x-g: \"\" }";
    let plan = shown(values);
    for part in [
        r#"FieldMatch { name: "x-a", value: Exact("1") }"#,
        r#"FieldMatch { name: "x-b", value: Exact("b") }"#,
        r#"FieldMatch { name: "x-c", value: Prefix("c") }"#,
        r#"FieldMatch { name: "x-d", value: Regex(Pattern("d+")) }"#,
        r#"FieldMatch { name: "x-e", value: Present }"#,
        r#"FieldMatch { name: "x-f", value: Absent }"#,
        r#"FieldMatch { name: "x-g", value: Exact("") }"#,
    ] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    assert!(shown("query: { Page: 2 }").contains(r#"name: "Page", value: Exact("2")"#));
    assert!(shown("method: GET").contains(r#"method: Some("GET")"#));
    assert!(shown("path_regex: \"/v[0-9]+\"").contains(r#"Regex(Pattern("/v[0-9]+"))"#));
    assert!(shown("grpc_regex: 'a\\..*'").contains("GrpcRegex(Pattern("));
}

#[test]
fn invalid_conditions_get_a_hint() {
    told("method: get", "10:24: `get` is not a method: write it in capitals, such as `GET`");
    told("method: CONNECT", "10:24: CONNECT is not supported, so it has no route");
    told(
        "grpc: a.B, method: POST",
        "10:35: every gRPC request is a POST; leave `method` out: `grpc` asks for it already",
    );
    told(
        "headers: x",
        "10:25: a mapping from names to values is wanted for `headers`; write { name: value, … }",
    );
    told(
        "headers: { \":path\": /x }",
        "10:27: `:path` is not a header: what is asked of it has a key of its own, such as \
         `path` or `host`",
    );
    told(
        "headers: { Host: x }",
        "10:27: `host` may not be there in HTTP/2: use the key `host` of the route",
    );
    told("headers: { \"a b\": x }", "10:27: `a b` is not a header's name");
    told(
        "headers: { X-A: 1, x-a: 2 }",
        "10:35: `x-a` is asked for twice, first in line 10; remove one of the two",
    );
    told("query: { \"\": x }", "10:25: a query parameter has a name");
    let what = "write the value itself, or one of { exact: … }, { prefix: … }, { regex: … }, \
                { present: true } and { present: false }";
    for wrong in ["x-a: [ 1 ]", "x-a: ", "x-a: { }", "x-a: { prefix: a, regex: b }"] {
        let error = format!("10:27: `x-a` is asked for nothing that can be compared; {what}");
        told(&format!("headers: {{ {wrong} }}"), &error);
    }
    told(
        "headers: { x-a: { prefix: \"\" } }",
        "10:42: everything begins so: write `present: true`",
    );
    told(
        "headers: { x-a: { regexp: a } }",
        "10:34: unknown key `regexp`; did you mean `regex`? Known here: exact, prefix, regex, present",
    );
    told(
        "headers: { x-a: { present: 1 } }",
        "10:43: `1` is neither true nor false: write one of the two",
    );
    told("path_regex: /a(", "10:28: `/a(` is not a regular expression: unclosed group");
    told(
        "path_regex: \"((a{100}){100}){100}\"",
        "10:28: `((a{100}){100}){100}` makes an automaton of more than 1MiB: repeat less, or less often",
    );
    told(
        "path: /a, path_regex: /b",
        "10:14: a match has one of `grpc`, `grpc_regex`, `path`, `path_prefix` and `path_regex`; \
         make it several routes",
    );
}

#[test]
fn too_many_conditions_and_patterns_are_refused() {
    let names: Vec<String> = (0..17).map(|n| format!("x-{n}: 1")).collect();
    let asked = format!("headers: {{ {} }}", names.join(", "));
    told(&asked, "10:25: 17 names stand here: write 16 at most");
    let mut routes = String::new();
    for number in 0..257 {
        let _ = writeln!(routes, "  - {{ match: {{ path_regex: /{number} }}, service: orders }}");
    }
    let error = "266:14: more than 256 routes of this host have a regular expression for the path; \
                 each is tried in turn: use `path`, `path_prefix` or `grpc`";
    assert_eq!(said(&with(routes.trim_end())), [error]);
}

#[test]
fn a_split_by_key_names_a_header() {
    let split = |by: &str| with(&format!("  - {{ service: orders, split_by: {by} }}"));
    let plan = parse(&split("{ header: X-User-Id }"), Path::new("")).unwrap();
    assert!(format!("{:?}", plan.routes).contains(r#"split_by: Some("x-user-id")"#));
    let told = |by: &str, error: &str| assert_eq!(said(&split(by)), [error]);
    told("{ }", "10:34: `header` is missing; add `header: NAME`");
    told("{ header: \"a b\" }", "10:44: `a b` is not a header's name");
    told(
        "[ x-user-id ]",
        "10:34: a mapping is wanted for `split_by`; write { header: … }, or the header alone",
    );
}

#[test]
fn filters_are_read() {
    let text = with(
        "  - match: { path_prefix: /a/ }\n    rewrite: { prefix: /b/, host: X.example }\n    \
         request_headers: { set: { X-A: 1 }, add: { x-b: b c }, remove: [ X-C ] }\n    split: [ { \
         service: orders, rewrite: { path: /c }, request_headers: { set: { x-a: 2 } }, \
         response_headers: { remove: [ server ] } }, { service: orders } ]",
    );
    let plan = parse(&text, Path::new("")).unwrap_or_else(|report| panic!("{report}"));
    let query =
        RouteQuery { authority: b"", path: b"/a", method: b"GET", grpc: false, fields: &() };
    let Some(Route::Forward(forward)) = plan.routes.find(&query) else { panic!("no route") };
    let [first, second] = forward.split.shares() else { panic!("{forward:?}") };
    let edits = |edits: &[HeaderEdit]| format!("{edits:?}");
    let own = first.filters.as_deref().unwrap();
    assert_eq!(own.path, Some(PathRewrite::Full("/c".into())));
    assert_eq!(own.host.as_deref(), Some("x.example"));
    let shared = r#"Set("x-a", "1"), Add("x-b", "b c"), Remove("x-c")"#;
    assert_eq!(edits(&own.request), format!(r#"[{shared}, Set("x-a", "2")]"#));
    assert_eq!(edits(&own.response), r#"[Remove("server")]"#);
    assert_eq!(second.filters, None, "the route's own, which are there once");
    let other = forward.policies.filters.as_ref().unwrap();
    assert_eq!(other.path, Some(PathRewrite::Prefix { matched: 2, with: "/b".into() }));
    assert_eq!(edits(&other.request), format!("[{shared}]"));
}

/// Asserts that a route to `orders` with this key has exactly this error.
#[track_caller]
fn told_of(key: &str, error: &str) {
    assert_eq!(said(&with(&format!("  - {{ service: orders, {key} }}"))), [error]);
}

#[test]
fn invalid_filters_get_a_hint() {
    let of_connection = "speaks of one connection, and each has its own: leave it out";
    let of_body = "says where the body ends, which no route changes: leave it out";
    for (name, says) in [
        ("Host", "is changed by `rewrite: { host: … }`"),
        ("connection", of_connection),
        ("TE", of_connection),
        ("Content-Length", of_body),
        ("transfer-encoding", of_body),
        ("grpc-status", "is for gRPC's libraries alone to write: leave it out"),
        ("a b", "is not a header's name"),
    ] {
        let error = format!("10:50: `{name}` {says}");
        told_of(&format!("request_headers: {{ set: {{ {name}: x }} }}"), &error);
        let error = format!("10:54: `{name}` {says}");
        told_of(&format!("response_headers: {{ remove: [ {name} ] }}"), &error);
    }
    told_of(
        "request_headers: { add: { \":path\": x } }",
        "10:50: `:path` is no header: path and host are changed by `rewrite`",
    );
    told_of(
        "request_headers: { set: { x-a: 1 }, remove: [ X-A ] }",
        "10:70: `x-a` is changed twice, first in line 10; remove one of the two",
    );
    told_of(
        "request_headers: { set: [ x-a ] }",
        "10:48: a mapping from names to values is wanted for `set`; write { name: value, … }",
    );
    told_of(
        "request_headers: { set: { x-a: \" b\" } }",
        "10:55: ` b` is not a header's value: write visible ASCII, without blanks at its ends",
    );
    told_of(
        "request_headers: { set: { x-a: \"b\\r\\nc: d\" } }",
        "10:55: `b\\r\\nc: d` is not a header's value: write visible ASCII, without blanks at its \
         ends",
    );
    told_of("rewrite: { host: \"*.x\" }", "10:41: `*.x` stands for many hosts: name one");
    told_of(
        "rewrite: { path: /a, prefix: /b }",
        "10:33: the path is replaced twice; `path` replaces all of the path, `prefix` what \
         `path_prefix` matches",
    );
    told_of("rewrite: { path: a }", "10:41: `a` is not a path: start it with `/`");
    told_of(
        "match: { path: /a }, rewrite: { prefix: /b }",
        "10:64: this route matches no prefix that can be replaced; match by `path_prefix`, or \
         replace all of the path by `path`",
    );
}

#[test]
fn invalid_redirects_get_a_hint() {
    let told = |route: &str, error: &str| {
        assert_eq!(said(&with(&format!("  - {{ {route} }}\n  - service: orders"))), [error]);
    };
    told(
        "match: { path: /a }, redirect: { }",
        "10:38: this redirect leads back to where the client comes from; give it one of `scheme`, \
         `host`, `port`, `path` and `prefix`",
    );
    told(
        "match: { path: /a }, redirect: { status: 301 }",
        "10:38: this redirect leads back to where the client comes from; give it one of `scheme`, \
         `host`, `port`, `path` and `prefix`",
    );
    told(
        "match: { path: /a }, redirect: { scheme: https, status: 300 }",
        "10:63: unknown value `300`: did you mean `301`? Known here: 301, 302, 303, 307, 308",
    );
    told(
        "match: { path: /a }, redirect: { scheme: ftp }",
        "10:48: unknown value `ftp`: known here: http, https",
    );
    told(
        "match: { path: /a }, redirect: { port: 0 }",
        "10:46: `0` is out of range: write 1 to 65535",
    );
    told(
        "match: { path: /a }, redirect: { host: x }, service: orders",
        "10:60: a redirect goes to no service; leave `service` out",
    );
    told(
        "match: { grpc: a.B }, redirect: { host: x }",
        "10:39: gRPC clients follow no redirect; rewrite the request and send it to the right \
         service instead",
    );
}

#[test]
fn a_mirror_is_a_service_with_bounds() {
    let read = |mirror: &str| {
        let text = with(&format!("  - {{ service: orders, mirror: {mirror} }}"));
        let plan = parse(&text, Path::new("")).unwrap_or_else(|report| panic!("{report}"));
        let query =
            RouteQuery { authority: b"", path: b"/a", method: b"GET", grpc: false, fields: &() };
        let Some(Route::Forward(forward)) = plan.routes.find(&query) else { panic!("no route") };
        let Mirror { per_million, buffer, max_in_flight, .. } = forward.mirror.clone().unwrap();
        (per_million, buffer, max_in_flight)
    };
    assert_eq!(read("{ service: orders }"), (1_000_000, 64 << 10, 100));
    let all = "{ service: orders, percent: 2.5, buffer: 1MiB, max_in_flight: 7 }";
    assert_eq!(read(all), (25_000, 1 << 20, 7));
    assert_eq!(read("{ service: orders, percent: 0.0001 }").0, 1);
    for wrong in ["0", "0.0", "100.1", "1e3", "-1", "5 %", "1.", ".5", "0.00001", "nan"] {
        let error = format!(
            "10:60: `{wrong}` is not a part of a hundred: write 0.0001 to 100, such as 2.5"
        );
        told_of(&format!("mirror: {{ service: orders, percent: {wrong} }}"), &error);
    }
    told_of("mirror: { }", "10:32: `service` is missing; add `service: NAME`");
    told_of(
        "mirror: { service: order }",
        "10:43: there is no service `order`; did you mean `orders`?",
    );
}
