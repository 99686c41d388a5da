//! Shorthands of mappings, and errors where a mapping is expected.

use std::path::Path;

use equipoise::config;

use super::{errors, warnings};

const LONG: &str = "
listeners: [ { address: 127.0.0.1:1 } ]
control: { address: 127.0.0.1:2 }
metrics: { address: 127.0.0.1:3 }
services:
  a: { balancer: { policy: round_robin }, endpoints: [ { address: b:1 }, { address: \"[::1]:2\" } ] }
routes:
  - { split: [ { service: a } ], split_by: { header: x-user }, mirror: { service: a } }
";

const SHORT: &str = "
listeners: [ 127.0.0.1:1 ]
control: 127.0.0.1:2
metrics: 127.0.0.1:3
services:
  a: { balancer: round_robin, endpoints: [ b:1, \"[::1]:2\" ] }
routes:
  - { split: [ a ], split_by: x-user, mirror: a }
";

#[test]
fn a_value_may_stand_for_a_mapping_with_one_obvious_key() {
    assert_eq!(warnings(LONG), warnings(SHORT));
    let plan = |text| config::parse(text, Path::new("")).unwrap();
    let (long, short) = (plan(LONG), plan(SHORT));
    assert_eq!(long.services, short.services);
    assert_eq!((long.control.places, long.metrics), (short.control.places, short.metrics));
    assert_eq!(long.listeners[0].address, short.listeners[0].address);
    assert!(long.routes.changes_since(&short.routes).changed.is_empty());
    let names =
        |table: &equipoise::route::RouteTable| table.names().map(String::from).collect::<Vec<_>>();
    assert_eq!(names(&long.routes), names(&short.routes));
    // Errors are reported as for the full form.
    let told = errors(&SHORT.replace("b:1", "b"));
    assert!(told[0].starts_with("6:44: `b` has no port"), "{told:?}");
}

#[test]
fn where_a_mapping_is_wanted_its_key_is_named() {
    for (from, to, says) in [
        (
            "listeners: [ 127.0.0.1:1 ]",
            "listeners: 127.0.0.1:1",
            "a list is wanted for `listeners`",
        ),
        (
            "listeners: [ 127.0.0.1:1 ]",
            "listeners: [ [ 127.0.0.1:1 ] ]",
            "a mapping is wanted for each of `listeners`",
        ),
        (
            "balancer: round_robin",
            "balancer: [ round_robin ]",
            "a mapping is wanted for `balancer`; write { policy: … }, or the policy alone",
        ),
        ("balancer: round_robin", "limits: 3", "a mapping is wanted for `limits`"),
        ("balancer: round_robin", "tls: on", "a mapping is wanted for `tls`"),
        ("balancer: round_robin", "protocol: [ grpc ]", "one value is wanted for `protocol`"),
        ("mirror: a", "match: shop.Orders", "a mapping is wanted for `match`"),
        ("mirror: a", "rewrite: /x", "a mapping is wanted for `rewrite`"),
        ("control: 127.0.0.1:2", "log: json", "a mapping is wanted for `log`"),
    ] {
        let text = SHORT.replace(from, to);
        assert_ne!(text, SHORT);
        let told = errors(&text);
        assert!(told.len() == 1 && told[0].contains(says), "{to}: {told:?}");
    }
}

#[test]
fn words_are_found_whatever_their_case_and_joints() {
    for (from, to, says) in [
        ("round_robin", "ROUND_ROBIN", "did you mean `round_robin`?"),
        ("round_robin", "round-robin", "did you mean `round_robin`?"),
        ("round_robin", "RoundRobin", "did you mean `round_robin`?"),
        ("round_robin", "LeastRequest", "did you mean `least_request`?"),
        ("balancer: round_robin", "protocol: GRPC", "did you mean `grpc`?"),
        ("balancer: round_robin", "protocol: HTTP/2", "did you mean `http2`?"),
        ("balancer: round_robin", "connectTimeout: 1s", "did you mean `connect_timeout`?"),
        ("control: 127.0.0.1:2", "log: { level: WARN }", "did you mean `warn`?"),
        ("control: 127.0.0.1:2", "Workers: 2", "did you mean `workers`?"),
    ] {
        let told = errors(&SHORT.replace(from, to));
        assert!(told.len() == 1 && told[0].contains(says), "{to}: {told:?}");
    }
}

#[test]
fn merge_keys_are_refused_with_a_hint() {
    for (text, place) in [
        ("listeners: [ &base { address: 127.0.0.1:1, profile: edge }, { <<: *base } ]", "1:63"),
        (
            "listeners:\n  - &base\n    address: 127.0.0.1:1\n  - <<: [ *base ]\n    address: 127.0.0.1:2",
            "4:5",
        ),
    ] {
        let told = errors(&format!(
            "{text}\nservices: {{ a: {{ endpoints: [ b:1 ] }} }}\nroutes: [ a ]\n"
        ));
        let told: Vec<_> =
            told.iter().filter(|error| !error.contains("listened on twice")).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("{place}: merge keys (`<<`)")), "{told:?}");
        assert!(told[0].contains("*tight"), "{told:?}");
    }
}
