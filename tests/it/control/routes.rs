//! ExplainRoute and `ctl route`.

use std::path::Path;

use serde_json::json;
use tonic::Code;

use super::ctl::{refused, run};
use super::*;
use crate::support::gateway::{self, PORTS};

const CONFIGURATION: &str = r#"
listeners: [ { address: 127.0.0.1:0 } ]
services:
  orders: { endpoints: [ { address: a:1 } ] }
  carts: { endpoints: [ { address: b:1 } ] }
routes:
  - match: { grpc: shop.Orders/Get, headers: { x-canary: "1" } }
    service: carts
    name: canary
  - match: { grpc: shop.Orders/Get }
    split:
      - { service: orders, weight: 90 }
      - { service: carts, weight: 10, request_headers: { set: { x-share: carts } } }
    split_by: { header: x-user-id }
    mirror: { service: carts, percent: 2.5 }
    rewrite: { host: orders.internal }
    timeout: 1500ms
    max_timeout: 1m
    retry: {}
  - match: { host: old.example, path_prefix: /shop }
    redirect: { host: new.example, status: 308 }
"#;

/// A gateway with these routes.
async fn gateway() -> Gateway {
    let gateway = Gateway::start().await;
    let plan = equipoise::config::parse(CONFIGURATION, Path::new("")).unwrap();
    let carts = service("carts", &[("c:1", 1)]);
    let services = vec![Arc::clone(&gateway.orders).into(), carts.into()];
    gateway.registry.publish(plan.routes, services).await;
    gateway
}

#[tokio::test]
async fn a_route_is_explained_to_people() {
    let gateway = gateway().await;
    let shown = run(&gateway, "route --grpc --path /shop.Orders/Get --header x-canary=0").await;
    let expected = "\
route carts+orders:shop.Orders/Get (number 2, line 10, column 5): { grpc: shop.Orders/Get }
  to orders: 90 of 100
    rewrite host to orders.internal
  to carts: 10 of 100
    rewrite host to orders.internal
    request: set x-share: carts
  within 1500ms, attempts included
  deadlines of callers: 1m at most
  retried: up to 3 attempts, on unavailable, connect, reset
  split by header x-user-id
  copies of 2.5 % to carts
not taken:
  route canary (number 1, line 7, column 5): { grpc: shop.Orders/Get, headers: { x-canary: \"1\" } }
    asks for header x-canary: \"1\"
";
    assert_eq!(shown.unwrap(), expected);
    let shown = run(&gateway, "route --grpc --path /shop.Orders/Get --header X-Canary=1").await;
    let expected = "\
route canary (number 1, line 7, column 5): { grpc: shop.Orders/Get, headers: { x-canary: \"1\" } }
  to carts
not taken:
  route carts+orders:shop.Orders/Get (number 2, line 10, column 5): { grpc: shop.Orders/Get }
    matches too, but is less specific
";
    assert_eq!(shown.unwrap(), expected);
    let shown = run(&gateway, "route --host old.example:80 --path /shop/x?y --method PUT").await;
    let expected = "\
route redirect:old.example:/shop/* (number 3, line 20, column 5): { host: old.example, path_prefix: /shop }
  redirects: 308, host new.example
";
    assert_eq!(shown.unwrap(), expected);
    let shown = run(&gateway, "route --host new.example --path /shop").await;
    let expected = "\
no route takes this request
not taken:
  route redirect:old.example:/shop/* (number 3, line 20, column 5): { host: old.example, path_prefix: /shop }
    asks for another host
";
    assert_eq!(shown.unwrap(), expected);
    assert_eq!(run(&gateway, "route").await.unwrap(), "no route takes this request\n");
}

#[tokio::test]
async fn a_route_is_explained_to_programs() {
    let gateway = gateway().await;
    let text = run(&gateway, "route --path /shop.Orders/Get --grpc --output json").await.unwrap();
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "route": {
            "name": "carts+orders:shop.Orders/Get", "number": 2, "line": 10, "column": 5, "match": "{ grpc: shop.Orders/Get }",
            "targets": [
                {
                    "service": "orders", "weight": 90,
                    "filters": ["rewrite host to orders.internal"],
                },
                {
                    "service": "carts", "weight": 10,
                    "filters": ["rewrite host to orders.internal", "request: set x-share: carts"],
                },
            ],
            "split_by": "x-user-id",
            "mirror": { "service": "carts", "percent": 2.5 },
            "redirect": null, "timeout_seconds": 1.5, "max_timeout_seconds": 60.0,
            "retry": "up to 3 attempts, on unavailable, connect, reset", "hedge": null,
            "allowed_clients": [],
        },
        "near_misses": [{
            "route": {
                "name": "canary", "number": 1, "line": 7, "column": 5,
                "match": "{ grpc: shop.Orders/Get, headers: { x-canary: \"1\" } }",
                "targets": [ { "service": "carts", "weight": 1, "filters": [] } ],
                "split_by": null, "mirror": null, "redirect": null,
                "timeout_seconds": null, "max_timeout_seconds": null,
                "retry": null, "hedge": null,
                "allowed_clients": [],
            },
            "reason": "asks for header x-canary: \"1\"",
        }],
    });
    assert_eq!(seen, expected);
    let text = run(&gateway, "route --path /shop.Orders/Get --output json").await.unwrap();
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(seen["route"], json!(null));
    assert_eq!(seen["near_misses"][0]["reason"], "asks for a gRPC request");
}

#[tokio::test]
async fn typos_in_requests_are_found() {
    let gateway = gateway().await;
    let cases = [
        (
            "--grpc --path /shop.Ordres/Get",
            "route carts+orders:shop.Orders/Get",
            "another path, a few",
        ),
        (
            "--grpc --path /shop.orders/get",
            "route carts+orders:shop.Orders/Get",
            "another path, a few",
        ),
        (
            "--grpc --path /shop.Orders/Gte",
            "route carts+orders:shop.Orders/Get",
            "another path, a few",
        ),
        ("--grpc --path /Orders/Get", "route carts+orders:shop.Orders/Get", "another path, a few"),
        ("--host old.exmaple --path /shop", "route redirect:old.example", "another host, a few"),
        ("--host old.example --path /shpo/x", "route redirect:old.example", "another path, a few"),
    ];
    for (asked, route, reason) in cases {
        let shown = run(&gateway, &format!("route {asked}")).await.unwrap();
        assert!(shown.starts_with("no route takes this request\nnot taken:\n"), "{asked}: {shown}");
        assert!(shown.contains(route) && shown.contains(reason), "{asked}: {shown}");
    }
    // A different word is not a typo.
    for asked in ["--grpc --path /shop.Orders/Cancel", "--grpc --path /shop.Users/Get"] {
        let shown = run(&gateway, &format!("route {asked}")).await.unwrap();
        assert!(!shown.contains("letters off"), "{asked}: {shown}");
    }
}

#[tokio::test]
async fn invalid_requests_are_refused() {
    let gateway = gateway().await;
    let mut client = gateway.client().await;
    let request = proto::ExplainRouteRequest { path: "shop".into(), ..Default::default() };
    let error = client.explain_route(request).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(error.message(), "`shop` is not a path: start it with `/`");
    let header = proto::HeaderField { name: "x".into(), value: "1".into() };
    let headers = vec![header; 101];
    let request = proto::ExplainRouteRequest { headers, ..Default::default() };
    let error = client.explain_route(request).await.unwrap_err();
    assert_eq!(error.message(), "more than 100 header fields");
    let wrong = refused(&["route", "--header", "x-canary"]);
    assert!(wrong.contains("write NAME=VALUE, such as x-canary=1"), "{wrong}");
}

/// Stands for a secret: a variable that cargo sets for every test.
#[tokio::test]
async fn routes_redact_variables() {
    let variable = "CARGO_MANIFEST_DIR";
    let secret = std::env::var(variable).unwrap();
    let yaml = format!(
        "{PORTS}services: {{ a: {{ endpoints: [] }}, b: {{ endpoints: [] }} }}\nroutes:\n  \
         - match: {{ path: /x, headers: {{ x-key: \"k-${{{variable}}}\" }} }}\n    \
         split: [ {{ service: a, request_headers: {{ add: {{ x-a: \"${{{variable}}}\" }} }} }}, {{ service: b }} ]\n    \
         request_headers: {{ set: {{ authorization: \"Bearer ${{{variable}}}\" }} }}\n  \
         - match: {{ path: /x }}\n    redirect: {{ path: \"${{{variable}}}\" }}\n"
    );
    let gateway = gateway::Gateway::start(&yaml).await;
    let mut control = gateway.control().await.0;
    let key = proto::HeaderField { name: "x-key".into(), value: format!("k-{secret}") };
    for headers in [vec![], vec![key]] {
        let request = proto::ExplainRouteRequest {
            path: "/x".into(),
            headers,
            ..proto::ExplainRouteRequest::default()
        };
        let explained = control.explain_route(request).await.unwrap().into_inner();
        let told = format!("{explained:?}");
        assert!(explained.near_misses.len() == 1 && !told.contains(&secret), "{told}");
        for shown in ["k-$", "Bearer $", "add x-a: $", "path to $"] {
            assert!(told.contains(&format!("{shown}{{{variable}}}")), "{shown}: {told}");
        }
    }
    let listed =
        control.list_splits(proto::ListSplitsRequest::default()).await.unwrap().into_inner();
    let told = format!("{listed:?}");
    assert!(told.contains("k-${") && !told.contains(&secret), "{told}");
}
