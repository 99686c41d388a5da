//! Warnings: valid, but probably a mistake.

use super::{errors, warnings};

fn with(routes: &str) -> String {
    format!(
        "listeners: [ {{ address: 127.0.0.1:1 }} ]\nservices: {{ a: {{ endpoints: [ {{ address: b:1 }} ] }} }}\n\
         routes:\n{routes}\n"
    )
}

fn matching(matched: &str) -> String {
    with(&format!("  - {{ match: {{ {matched} }}, service: a }}"))
}

#[test]
fn matches_that_nothing_meets_are_warned_of() {
    for (matched, says) in [
        ("grpc: shop.Orders.Get", "for the method write `shop.Orders/Get`"),
        ("grpc: shop.v1.Orders.get", "for the method write `shop.v1.Orders/get`"),
        ("grpc: Orders.List", "for the method write `Orders/List`"),
        ("path_regex: \"shop[.]Orders\"", "no path matches `shop[.]Orders`"),
        ("path_regex: \"^api/.*\"", "`/api/.*`"),
        ("path_regex: \"/search[?]q=.*\"", "without its query"),
        ("grpc_regex: \"shop[.]Orders\"", "pkg.Service/Method"),
        ("grpc_regex: \"/shop[.]Orders/.*\"", "without a `/` at its start"),
        ("path_prefix: /api/*", "`*` stands for itself in `/api/*`"),
        ("path: \"/users/{id}\"", "`{` stands for itself"),
        ("path: \"/users/:id/orders\"", "`:` stands for itself"),
        ("path: \"/v[0-9]/x\"", "`[` stands for itself"),
        ("headers: { x-stage: \" beta\" }", "begins or ends with a blank"),
        ("headers: { x-stage: { prefix: \" beta\" } }", "begins or ends with a blank"),
        ("grpc: shop.Orders, query: { debug: \"1\" }", "gRPC requests have no query"),
        ("query: { \"a%20b\": \"1\" }", "names are compared decoded"),
    ] {
        let warnings = warnings(&matching(matched));
        assert!(warnings.len() == 1 && warnings[0].contains(says), "{matched}: {warnings:?}");
    }
}

#[test]
fn matches_that_are_meant_are_not() {
    for matched in [
        "grpc: shop.Orders/Get",
        "grpc: shop.v1.Orders",
        "grpc: Orders",
        "grpc: grpc.health.v1.Health",
        "grpc_regex: \"shop[.].*/(Get|List)\"",
        "grpc_regex: \".*\"",
        "path_regex: \".*/orders\"",
        "path_regex: \"/v[0-9]+/.*\"",
        "path_regex: \"(?i)/API/.*\"",
        "path: \"/v1/orders:cancel\"",
        "path: \"/~me/a+b,c;d=e%20f\"",
        "headers: { X-Stage: beta, x-free: \"a b\" }",
        "grpc: shop.Orders, query: { debug: { present: false } }",
        "host: SHOP.Example",
    ] {
        assert_eq!(warnings(&matching(matched)), <[String; 0]>::default(), "{matched}");
    }
}

#[test]
fn routes_that_get_nothing_are_warned_of() {
    let all = "  - { match: { path_regex: \"/.*\" }, service: a }\n";
    for (route, reached) in [
        ("{ match: { path_prefix: /api }, service: a }", false),
        ("{ service: a }", false),
        ("{ match: { method: GET, path_prefix: /x }, service: a }", false),
        ("{ match: { path_regex: \"/v1/.*\" }, service: a }", false),
        ("{ match: { path: /x }, service: a }", true),
        ("{ match: { grpc: shop.Orders }, service: a }", true),
        ("{ match: { path_regex: \"/v1/.*\", headers: { a: b } }, service: a }", true),
        ("{ match: { host: x.example, path_prefix: /x }, service: a }", true),
    ] {
        let warnings = warnings(&with(&format!("{all}  - {route}")));
        assert_eq!(warnings.is_empty(), reached, "{route}: {warnings:?}");
        if !reached {
            assert!(warnings[0].starts_with("5:"), "{warnings:?}");
            assert!(
                warnings[0].contains("no request reaches")
                    && warnings[0].contains("first in line 4"),
                "{warnings:?}"
            );
        }
    }
    let narrow = "  - { match: { path_regex: \"/v1/.*\" }, service: a }\n  - { match: { path_prefix: /v1 }, service: a }\n  - { match: { path_regex: \"/v[12]/.*\" }, service: a }";
    assert_eq!(warnings(&with(narrow)), <[String; 0]>::default());
}

#[test]
fn urls_as_addresses_are_refused_with_a_hint() {
    for (host, says) in [
        ("http://shop.example", "`http://shop.example` is a URL: write `shop.example`"),
        ("https://shop.example:8443/api?x", "is a URL: write `shop.example`"),
        ("grpc://[::1]:80", "is a URL: write `[::1]`"),
        ("//shop.example", "has a path: write `shop.example`"),
        ("shop.example/api", "has a path: write `shop.example`"),
        ("shop.example:8080", "`shop.example:8080` has a port"),
        ("::1", "is an IPv6 address: write `[::1]`"),
        ("http://", "is a URL"),
    ] {
        let told = errors(&matching(&format!("host: \"{host}\"")));
        assert!(told.len() == 1 && told[0].contains(says), "{host}: {told:?}");
    }
    for (address, says) in [
        ("http://orders", "`http://orders` is a URL"),
        ("https://orders:443/", "is a URL"),
        ("grpc://orders:443", "is a URL"),
    ] {
        let text = with("  - { service: a }").replace("b:1", &format!("\"{address}\""));
        let told = errors(&text);
        assert!(told.len() == 1 && told[0].contains(says), "{address}: {told:?}");
    }
}

#[test]
fn grpc_routes_to_services_of_http1_are_warned_of() {
    let with = |protocol: &str, route: &str| {
        format!(
            "listeners: [ {{ address: 127.0.0.1:1 }} ]\nservices:\n  \
             old: {{ protocol: {protocol}, endpoints: [ {{ address: b:1 }} ] }}\n  \
             new: {{ endpoints: [ {{ address: b:2 }} ] }}\nroutes:\n  - {{ service: new }}\n  \
             - {{ match: {{ host: old.example }}, service: old }}\n  - {route}\n"
        )
    };
    for route in [
        "{ match: { grpc: shop.Orders }, service: old }",
        "{ match: { grpc: shop.Orders/Get, host: x.example }, service: old }",
        "{ match: { grpc_regex: \"shop[.].*\" }, service: old }",
        "{ match: { grpc: shop.Orders }, split: [ { service: new, weight: 9 }, { service: old } ] }",
        "{ match: { grpc: shop.Orders }, service: new, mirror: old }",
    ] {
        let found = warnings(&with("http1", route));
        assert_eq!(found.len(), 1, "{route}: {found:?}");
        assert!(found[0].starts_with("8:") && found[0].contains("`old`"), "{found:?}");
        assert!(found[0].contains("HTTP/1.1"), "{found:?}");
        assert_eq!(warnings(&with("http2", route)), <[String; 0]>::default(), "{route}");
    }
    let plain = with("http1", "{ match: { path_prefix: /shop }, service: old }");
    assert_eq!(warnings(&plain), <[String; 0]>::default());
}

#[test]
fn a_listener_of_its_own_as_an_endpoint_is_warned_of() {
    let text = with("  - { service: a }").replace("127.0.0.1:1", "'[::]:8080'");
    for own in ["127.0.0.1:8080", "localhost:8080", "'[::1]:8080'", "0.0.0.0:8080"] {
        let warnings = warnings(&text.replace("b:1", own));
        assert!(warnings.len() == 1, "{own}: {warnings:?}");
        assert!(warnings[0].contains("is a listener of this gateway itself"), "{warnings:?}");
    }
    for other in ["b:8080", "127.0.0.1:8081"] {
        let warnings = warnings(&text.replace("b:1", other));
        assert!(warnings.is_empty(), "{other}: {warnings:?}");
    }
}

#[test]
fn settings_that_can_have_no_effect_beside_others_are_warned_of() {
    for (keys, says) in [
        ("timeout: 1s, retry: { per_attempt_timeout: 1s }", "`per_attempt_timeout: 1s` is no less"),
        ("max_timeout: 1s, hedge: { after: 2s }", "`after: 2s` is no less"),
        ("retry: { attempts: 2 }, hedge: { after: p95, attempts: 3 }", "`retry` allows 2 attempts"),
        ("retry: { backoff: { first: 1s } }", "the first pause, 1s, is cut to `max`, 250ms"),
    ] {
        let told = warnings(&with(&format!("  - {{ service: a, {keys} }}")));
        assert!(told.len() == 1 && told[0].contains(says), "{keys}: {told:?}");
    }
    for keys in [
        "timeout: 2s, retry: { per_attempt_timeout: 1s }",
        "timeout: 1s, hedge: { after: p95 }",
        "retry: {}, hedge: { after: 30ms, attempts: 3 }",
    ] {
        let told = warnings(&with(&format!("  - {{ service: a, {keys} }}")));
        assert_eq!(told, <[String; 0]>::default(), "{keys}");
    }
}

#[test]
fn how_to_write_retries_and_hedging_is_told() {
    for (keys, says) in [
        (
            "retry: { on: [ UNAVAILABLE ] }",
            "`UNAVAILABLE` is written in small letters: `unavailable`",
        ),
        ("retry: true", "write {} for its defaults"),
        ("hedge: p95", "write { after: p95 }"),
    ] {
        let told = errors(&with(&format!("  - {{ service: a, {keys} }}")));
        assert!(told.len() == 1 && told[0].contains(says), "{keys}: {told:?}");
    }
}
