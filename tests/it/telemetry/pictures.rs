//! What people look at has something to show: a real Prometheus scrapes a gateway under load, and
//! every query of the dashboard and of the rules is asked for its data.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;

use super::dashboard::{dashboard, folder, queries};
use crate::support::backend::{Backend, Options};
use crate::support::certificates::Authority;
use crate::support::client::{Client, connect, message, with};
use crate::support::gateway::{Gateway, PORTS};
use crate::support::prometheus::Prometheus;
use crate::support::{PATIENCE, eventually, raw};

/// Calls that succeed, that fail, that must be sent again, that come too late, that nobody takes, and
/// clients that go, or are not let in.
async fn load(front: SocketAddr, full: SocketAddr) -> Infallible {
    loop {
        let _two = (TcpStream::connect(full).await, TcpStream::connect(full).await);
        let mut client: Client = connect(front).await;
        for status in ["0", "0", "14", "5", "0", "13"] {
            let _ = client.unary(with("x", "x-status", status)).await;
            let _ = client.unary(message("x")).await;
        }
        let _ = client.server_stream(message("x")).await; // its service has no live backend
        let two = tokio_stream::iter([message("x"), message("y")]).chain(tokio_stream::pending());
        if let Ok(answer) = client.bidi(two).await {
            let mut messages = answer.into_inner();
            while let Ok(Some(_)) = messages.message().await {} // until its time is up
        }
        raw::get(&raw::connect(front).await, raw::grpc("/nowhere")).await;
        let mut late = raw::grpc("/echo.Echo/Unary");
        late.headers_mut().insert("grpc-timeout", "0n".parse().unwrap());
        raw::get(&raw::connect(front).await, late).await;
    }
}

/// A gateway with two live backends and one that is not there.
async fn start(backends: &[Backend; 2]) -> Gateway {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = |address: SocketAddr| format!("{{ address: '{address}' }}");
    let [a, b, none] = [backends[0].address, backends[1].address, nobody].map(endpoint);
    let authority = Authority::new();
    let full =
        "listeners: [ { address: 127.0.0.1:0 }, { address: 127.0.0.1:0, max_connections: 1 } ]";
    let ports = PORTS.replace("listeners: [ { address: 127.0.0.1:0 } ]", full);
    let yaml = format!(
        "{ports}zone: a\noverrides: {{ journal: {{ path: overrides.jsonl }} }}\naudit: audit.jsonl\nservices:\n  \
           orders:\n    concurrency: {{ max_requests: 1000 }}\n    retry_budget: {{ ratio: 0, min_per_second: 2 }}\n    balancer: {{ policy: round_robin }}\n    streams: [ echo.Echo/ClientStream ]\n    endpoints: [ {a}, {b}, {none} ]\n  \
           carts: {{ prefer_zone: true, discover: {{ file: backends.json, initial_timeout: 0s }}, tls: {{ ca: ca.pem }}, health: {{ tcp: {{}}, interval: 500ms }}, endpoints: [ {none} ] }}\n  \
           copies: {{ ejection: {{ consecutive: 1, time: 1h, max_time: 1h }}, endpoints: [ {a}, {b} ] }}\n\
         routes:\n  \
           - match: {{ grpc: echo.Echo/Unary }}\n    service: orders\n    mirror: {{ service: copies }}\n    retry: {{ backoff: {{ first: 0s }} }}\n    hedge: {{ after: 1ms }}\n  \
           - match: {{ grpc: echo.Echo/Bidi }}\n    service: orders\n    timeout: 100ms\n  \
           - match: {{ grpc: echo.Echo/ClientStream }}\n    service: orders\n  \
           - match: {{ grpc: echo.Echo/ServerStream }}\n    service: carts\n    rate_limit: {{ per_second: 1, burst: 1 }}\n"
    );
    std::fs::write(authority.folder().join("backends.json"), "[]").unwrap();
    Gateway::start_in(&yaml, authority.folder()).await
}

/// A query of the dashboard with everything chosen; `.+` and not `.*`, as labels have to be there.
fn filled_in(query: &str) -> String {
    let query = query.replace("$__rate_interval", "20s");
    let query = ["$instance", "$service", "$backend"]
        .iter()
        .fold(query, |query, variable| query.replace(variable, ".+"));
    assert!(!query.contains('$'), "{query}: which variable is that?");
    query
}

/// The expression without the comparisons with numbers, by which an alert is silent.
fn without_thresholds(expression: &str) -> String {
    let mut words = expression.split(' ');
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if ["==", "!=", ">", "<", ">=", "<="].contains(&word) {
            let threshold = words.next().unwrap();
            let end = threshold.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            assert!(end.chars().all(|c| c == ')'), "{expression}: a number should follow {word}");
            kept.push(end);
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// What the variables of the dashboard are chosen from: metric and label.
fn choices(dashboard: &Value) -> Vec<(String, String)> {
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let queries = variables.filter(|variable| variable["type"] == "query");
    queries
        .map(|variable| {
            let query = variable["query"]["query"].as_str().unwrap();
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (selector, label) = inner.unwrap().rsplit_once(", ").unwrap();
            (filled_in(selector), label.to_owned())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_dashboard_and_the_rules_returns_data() {
    let options = || Options { latency: Some(1..5), ..Options::default() };
    let backends = [Backend::with(options()).await, Backend::with(options()).await];
    let gateway = start(&backends).await;
    let mut clients = JoinSet::new();
    clients.spawn(load(gateway.front(), gateway.fronts()[1]));
    let mut client = gateway.client().await;
    clients.spawn(async move {
        let _ = client.client_stream(tokio_stream::pending()).await;
        unreachable!("it is open until the end")
    });
    let mut control = gateway.control().await.0;
    clients.spawn(async move {
        loop {
            let mut request = tonic::Request::new(Default::default());
            request.metadata_mut().insert("authorization", "Bearer wrong".parse().unwrap());
            let _: Result<_, tonic::Status> = control.list_services(request).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let prometheus = Prometheus::start(gateway.metrics_address(), &folder().join("rules"));

    let mut rules = Vec::new();
    eventually("every rule was evaluated", async || {
        let groups = prometheus.get("rules", "").await.unwrap_or_default();
        let groups = groups["groups"].as_array().cloned().unwrap_or_default();
        rules =
            groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
        rules.len() > 20 && rules.iter().all(|rule| rule["health"] != "unknown")
    })
    .await;
    let mut wanted: Vec<(String, String)> = Vec::new();
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        let (name, query) = (rule["name"].as_str().unwrap(), rule["query"].as_str().unwrap());
        wanted.push((name.into(), without_thresholds(query)));
        if rule["type"] == "recording" {
            wanted.push((name.into(), name.into()));
        }
    }
    let dashboard = dashboard();
    for (panel, query) in queries(&dashboard) {
        wanted.push((panel.into(), filled_in(query)));
    }
    for (selector, label) in choices(&dashboard) {
        wanted.push((format!("variable {label}"), format!("count by ({label}) ({selector})")));
    }
    assert!(wanted.len() > 60, "{wanted:?}");
    let begun = Instant::now();
    while !wanted.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "without data: {wanted:#?}");
        let mut missing = Vec::new();
        for (name, query) in wanted {
            if prometheus.query(&query).await.is_empty() {
                missing.push((name, query));
            }
        }
        wanted = missing;
    }
}

#[test]
fn thresholds_are_taken_out() {
    for (expression, left) in [
        ("a == 0", "a "),
        ("sum(rate(x[5m])) / y > 0.1", "sum(rate(x[5m])) / y "),
        ("(a and on (job) b) > 2 and c < 0.9", "(a and on (job) b)  and c "),
        ("count((a == 0) and (b > 0)) or vector(0)", "count((a ) and (b )) or vector(0)"),
    ] {
        assert_eq!(without_thresholds(expression), left);
    }
}
