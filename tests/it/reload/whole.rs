//! Each request uses one configuration, for routes and services alike.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::task::JoinSet;

use crate::support::gateway::{Gateway, PORTS};
use crate::support::{eventually, raw};

const RELOADS: usize = 40;
const NAMES: [&str; 2] = ["a", "b"];

/// A backend that answers with its name and the request's path.
async fn named(name: &'static str) -> SocketAddr {
    raw::backend(move |(request, mut respond)| async move {
        let mut head = raw::ok();
        let headers = head.headers_mut();
        headers.insert("x-path", request.uri().path().parse().unwrap());
        headers.insert("x-name", name.parse().unwrap());
        headers.extend(raw::status(0));
        let _ = respond.send_response(head, true);
    })
    .await
}

/// The route rewrites to a path named after its backend. A second service, whose picker is slow to
/// build, comes after the first.
fn configuration(name: &str, backend: SocketAddr) -> String {
    let mut yaml = format!(
        "{PORTS}services:\n  echo: {{ endpoints: [ {{ address: {backend} }} ] }}\n  \
         many:\n    preconnect: 0\n    balancer: {{ policy: maglev, key: source_address }}\n    \
         endpoints:\n"
    );
    let third = if name == NAMES[0] { 1 } else { 2 };
    for last in 1..=200 {
        let _ = writeln!(yaml, "      - 127.0.{third}.{last}:1");
    }
    let _ = writeln!(yaml, "routes: [ {{ service: echo, rewrite: {{ path: /{name} }} }} ]");
    yaml
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_goes_by_the_routes_of_one_and_the_services_of_another() {
    let backends = [named(NAMES[0]).await, named(NAMES[1]).await];
    let yaml = NAMES.map(|name| {
        configuration(name, backends[NAMES.iter().position(|it| *it == name).unwrap()])
    });
    let mut gateway = Gateway::start(&yaml[0]).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..6 {
        let client = raw::connect(gateway.front()).await;
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        callers.spawn(async move {
            while !stop.load(SeqCst) {
                let answer = raw::get(&client, raw::grpc("/any")).await;
                let field = |name: &str| String::from_utf8_lossy(answer.header(name).unwrap());
                assert_eq!(field("x-path"), format!("/{}", field("x-name")));
                done.fetch_add(1, SeqCst);
            }
        });
    }
    for number in 1..=RELOADS {
        let before = done.load(SeqCst);
        assert!(gateway.reload(&yaml[number % 2]).await);
        eventually("calls go on", async || done.load(SeqCst) > before + 20).await;
    }
    stop.store(true, SeqCst);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
}
