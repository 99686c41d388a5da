//! Empty lists and mappings, as generators of configurations write them.

use tonic::Code;

use super::{errors, warnings};
use crate::support::backend::Backend;
use crate::support::client::{self, message};
use crate::support::gateway::{Gateway, PORTS};

/// A configuration with these services, and these routes.
fn with(services: &str, routes: &str) -> String {
    format!("{PORTS}services:{services}\nroutes:{routes}\n")
}

const TO_ALL: &str = " [ { service: a } ]";

#[test]
fn lists_of_nothing_are_warned_of_and_not_refused() {
    for (services, routes, says) in [
        (" { a: { endpoints: [] } }", TO_ALL, "`a` has no endpoints"),
        ("\n  a:\n    endpoints:\n    max_pending: 1", TO_ALL, "`a` has no endpoints"),
        ("\n  a: { endpoints: null }", TO_ALL, "`a` has no endpoints"),
        (" { a: { endpoints: [ { address: b:1 } ] } }", " []", "there are no routes"),
        (" { a: { endpoints: [ { address: b:1 } ] } }", "", "there are no routes"),
        (" {}", " []", "there are no routes"),
        ("", "", "there are no routes"),
        (
            " { a: { endpoints: [ { address: b:1 } ] } }",
            " [ { split: [ { service: a, weight: 0 } ] } ]",
            "all weights are 0",
        ),
    ] {
        let warnings = warnings(&with(services, routes));
        assert_eq!(warnings.len(), 1, "{services} {routes}: {warnings:?}");
        assert!(warnings[0].contains(says), "{services} {routes}: {warnings:?}");
    }
    let elsewhere = with(" {}", " [ { redirect: { host: elsewhere.example } } ]");
    assert_eq!(warnings(&elsewhere), <[String; 0]>::default());
}

#[test]
fn lists_that_may_hold_nothing_may_be_written_so() {
    for (services, routes) in [
        (" { a: { endpoints: [ { address: b:1 } ], streams: [] } }", TO_ALL),
        (
            " { a: { endpoints: [ { address: b:1 } ] } }",
            " [ { service: a, request_headers: { set: {}, remove: [] }, match: { headers: {} } } ]",
        ),
    ] {
        assert_eq!(warnings(&with(services, routes)), <[String; 0]>::default());
    }
}

#[test]
fn missing_keys_and_empty_required_lists_are_errors() {
    let told = errors(&with(" { a: {} }", TO_ALL));
    assert!(told[0].contains("`endpoints` is missing"), "{told:?}");
    let told = errors("listeners: []\nservices: {}\nroutes: []\n");
    assert!(told[0].contains("the list is empty"), "{told:?}");
}

#[tokio::test]
async fn a_service_may_lose_all_endpoints_and_recover() {
    let backend = Backend::start().await;
    let some = format!(" {{ a: {{ endpoints: [ {{ address: \"{}\" }} ] }} }}", backend.address);
    let none = " { a: { endpoints: [] } }";
    let mut gateway = Gateway::start(&with(none, TO_ALL)).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let status = client.unary(message("x")).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unavailable, "no backend may take requests")
        );
        assert!(gateway.reload(&with(&some, TO_ALL)).await);
        let answer = client.unary(message("x")).await.unwrap();
        assert_eq!(client::backend(&answer), backend.address);
        assert!(gateway.reload(&with(none, TO_ALL)).await);
    }
    gateway.metrics().await;
}

#[tokio::test]
async fn shares_of_nothing_are_unavailable_and_mirrors_of_none_are_given_up() {
    let backend = Backend::start().await;
    let services = format!(
        " {{ a: {{ endpoints: [ {{ address: \"{}\" }} ] }}, none: {{ endpoints: [] }} }}",
        backend.address
    );
    let nothing = " [ { split: [ { service: a, weight: 0 }, { service: none, weight: 0 } ] } ]";
    let mut gateway = Gateway::start(&with(&services, nothing)).await;
    let mut client = gateway.client().await;
    let status = client.unary(message("x")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");

    let mirrored = " [ { service: a, mirror: { service: none } } ]";
    assert!(gateway.reload(&with(&services, mirrored)).await);
    let answer = client.unary(message("x")).await.unwrap();
    assert_eq!(client::backend(&answer), backend.address);

    let half = " [ { split: [ { service: a }, { service: none, weight: 0 } ] } ]";
    assert!(gateway.reload(&with(&services, half)).await);
    client.unary(message("x")).await.unwrap();

    assert!(gateway.reload(&with(" {}", " []")).await);
    let status = client.unary(message("x")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    assert!(gateway.reload(&with(&services, mirrored)).await);
    client.unary(message("x")).await.unwrap();
}
