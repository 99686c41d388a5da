//! What the metrics port gives to strangers: nothing but three pages, to those who ask by a name that
//! no stranger can have.

use super::Gateway;
use crate::support::gateway;
use crate::support::http1;
use crate::support::raw;

const GUARDS: [&str; 5] = [
    "x-content-type-options: nosniff",
    "cache-control: no-store",
    "x-frame-options: DENY",
    "content-security-policy: default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy: same-origin",
];

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn three_pages_are_had_by_get_and_head_alone() {
    let gateway = Gateway::start(Vec::new()).await;
    for (request, expected) in [
        ("GET /metrics", "200"),
        ("HEAD /metrics", "200"),
        ("GET /metrics?x=/../y", "200"),
        ("GET /metrics/", "404"),
        ("GET //metrics", "404"),
        ("GET /metrics/../healthz", "404"),
        ("GET /metrics%2f..%2fhealthz", "404"),
        ("GET /%6detrics", "404"),
        ("GET /healthz/x", "404"),
        ("GET /Healthz", "404"),
        ("GET /", "404"),
        ("POST /metrics", "405"),
        ("PUT /x", "405"),
        ("DELETE /healthz", "405"),
        ("OPTIONS *", "405"),
        ("TRACE /healthz", "405"),
        ("QUERY /healthz", "405"),
    ] {
        let answer = gateway.request(&format!("{request} HTTP/1.1")).await;
        assert_eq!(status(&answer), expected, "{request}");
        for guard in GUARDS {
            assert!(answer.contains(guard), "{request}: {guard} is not in {answer}");
        }
    }
}

#[tokio::test]
async fn a_name_that_a_stranger_could_have_is_refused() {
    let yaml = gateway::PORTS.replace(
        "metrics: { address: 127.0.0.1:0 }",
        "metrics: { address: 127.0.0.1:0, hosts: [ gw.example.com, \"*.lab.example.com\" ] }",
    );
    let yaml = yaml + "services: { a: { endpoints: [ '127.0.0.1:1' ] } }\nroutes: [ a ]\n";
    let gateway = gateway::Gateway::start(&yaml).await;
    let at = gateway.metrics_address();
    for (hosts, expected) in [
        (&["127.0.0.1:9901"][..], "200"),
        (&["[::1]:9901"], "200"),
        (&["10.0.0.7:9901"], "200"),
        (&["localhost"], "200"),
        (&["equipoise:9901"], "200"),
        (&["gateway.prod.svc:9901"], "200"),
        (&["gw.example.com:9901"], "200"),
        (&["GW.EXAMPLE.COM."], "200"),
        (&["a.lab.example.com"], "200"),
        (&["lab.example.com"], "403"),
        (&["evil.example"], "403"),
        (&["127.0.0.1.evil.example"], "403"),
        (&["localhost.evil.example:9901"], "403"),
        (&["127.0.0.1", "evil.example"], "400"),
    ] {
        let fields: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        for path in ["/metrics", "/healthz", "/readyz", "/x"] {
            let request = format!("GET {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
            let answer = http1::exchange(at, request.as_bytes()).await;
            let expected = if path == "/x" && expected == "200" { "404" } else { expected };
            assert_eq!(status(&answer), expected, "{path} at {hosts:?}");
            assert!(expected != "403" || answer.contains("`hosts` of `metrics`"), "{answer}");
        }
    }
    let absolute = "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(status(&http1::exchange(at, absolute.as_bytes()).await), "403");
    let without = http1::exchange(at, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&without), "200", "browsers name one");
    let client = raw::connect(at).await;
    for (host, expected) in [("localhost", 200), ("evil.example", 403)] {
        let request = http::Request::get(format!("http://{host}/healthz")).body(()).unwrap();
        assert_eq!(raw::get(&client, request).await.head.status, expected, "{host} by HTTP/2");
    }
}
