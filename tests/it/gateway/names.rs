//! Endpoints that are names: all their addresses are used, and no silence of one is the last word.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::support::backend::{Backend, Options};
use crate::support::client::{self, held, message};
use crate::support::dns::{NameServer, Tcp};
use crate::support::gateway::{Gateway, PORTS};
use crate::support::{eventually, soon};

/// A configuration with the service `echo` at these endpoints, which takes everything.
fn to(endpoints: &[String], server: &NameServer, settings: &str) -> String {
    asking(&server.yaml(), endpoints, settings)
}

fn asking(servers: &str, endpoints: &[String], settings: &str) -> String {
    let list: Vec<_> =
        endpoints.iter().map(|address| format!("{{ address: \"{address}\" }}")).collect();
    format!(
        "{PORTS}{servers}services: {{ echo: {{ {settings} endpoints: [ {} ] }} }}\n\
         routes: [ {{ service: echo }} ]\n",
        list.join(", ")
    )
    .replace("workers: 2", "workers: 1")
}

const PATIENT: &str = "connect_timeout: 60s, pending_timeout: 60s,";

async fn backend_at(address: SocketAddr) -> Backend {
    Backend::with(Options { address: Some(address), ..Options::default() }).await
}

/// The same port at another address of this machine.
fn beside(first: SocketAddr, last: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], first.port()))
}

#[tokio::test]
async fn what_is_silent_or_refuses_or_has_no_route_is_passed_over() {
    let server = NameServer::start().await;
    let backend = Backend::start().await;
    let port = backend.address.port();
    // It takes connections, and says nothing on them.
    let _mute = TcpListener::bind(beside(backend.address, 2)).await.unwrap();
    server.set("mute.test", &["127.0.0.2", "127.0.0.1"]);
    server.set("refusing.test", &["127.0.0.3", "127.0.0.4", "127.0.0.1"]);
    server.set("routeless.test", &["2001:db8::1", "2001:db8::2", "127.0.0.1"]);
    for name in ["mute.test", "refusing.test", "routeless.test"] {
        let yaml = to(&[format!("{name}:{port}")], &server, PATIENT);
        let gateway = Gateway::start(&yaml).await;
        let answer = soon(name, gateway.client().await.unary(message("x"))).await;
        assert_eq!(client::backend(&answer.unwrap()), backend.address, "{name}");
    }
}

#[tokio::test]
async fn requests_spread_over_all_addresses() {
    let server = NameServer::start().await;
    let first = Backend::with(Options { max_streams: Some(1), ..Options::default() }).await;
    let mut backends = vec![first];
    for last in 2..=4 {
        let address = Some(beside(backends[0].address, last));
        let options = Options { address, max_streams: Some(1), ..Options::default() };
        backends.push(Backend::with(options).await);
    }
    server.set("many.test", &["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    let settings = format!("{PATIENT} balancer: round_robin,");
    let yaml = to(&[format!("many.test:{}", backends[0].address.port())], &server, &settings);
    let gateway = Gateway::start(&yaml).await;
    let mut control = gateway.control().await;
    eventually("it is resolved", async || control.backends().await.len() == 4).await;
    let client = gateway.client().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut client = client.clone();
        calls.spawn(async move { client.unary(held()).await });
    }
    eventually("each has one", async || backends.iter().all(|one| one.seen.active() == 1)).await;
    backends.iter().for_each(Backend::release);
    let mut seen = BTreeSet::new();
    while let Some(call) = soon("all end", calls.join_next()).await {
        seen.insert(client::backend(&call.unwrap().unwrap()));
    }
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn connections_that_are_made_later_go_to_the_new_answer() {
    let server = NameServer::start().await;
    let mut before = Backend::start().await;
    let after = backend_at(beside(before.address, 2)).await;
    server.set("moves.test", &["127.0.0.1"]);
    let yaml = to(&[format!("moves.test:{}", before.address.port())], &server, PATIENT);
    let gateway = Gateway::start(&yaml).await;
    let mut client = gateway.client().await;
    let answer = client.unary(message("x")).await.unwrap();
    assert_eq!(client::backend(&answer), before.address);
    server.set("moves.test", &["127.0.0.2"]);
    let answer = client.unary(message("x")).await.unwrap();
    assert_eq!(client::backend(&answer), before.address, "what there is stays");
    before.kill();
    eventually("it has moved", async || {
        let answer = client.unary(message("x")).await;
        answer.is_ok_and(|answer| client::backend(&answer) == after.address)
    })
    .await;
}

#[tokio::test]
async fn silent_name_servers_hold_up_neither_other_backends_nor_the_end() {
    let server = NameServer::start().await;
    let backend = Backend::start().await;
    let mut endpoints: Vec<_> = (0..40).map(|number| format!("silent-{number}.test:1")).collect();
    endpoints.push(backend.address.to_string());
    server.set("well.test", &["127.0.0.1"]);
    endpoints.push(format!("well.test:{}", backend.address.port()));
    let settings = "connect_timeout: 60s, pending_timeout: 60s, balancer: { policy: round_robin },";
    let gateway = Gateway::start(&to(&endpoints, &server, settings)).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..endpoints.len() {
        let mut client = gateway.client().await;
        calls.spawn(async move { client.unary(message("x")).await.is_ok() });
    }
    let mut answered = 0;
    while answered < 2 {
        let call = soon("those that can be answered are", calls.join_next()).await;
        answered += usize::from(call.unwrap().unwrap());
    }
    calls.abort_all();
    let silent = async || (0..40).any(|number| server.asked(&format!("silent-{number}.test")) > 0);
    eventually("the others are asked for", silent).await;
    soon("it ends", gateway.shutdown()).await;
}

#[tokio::test]
async fn nobody_reaches_the_gateways_own_control_and_metrics() {
    let server = NameServer::start().await;
    server.set("inside.test", &["127.0.0.1"]);
    server.set("mapped.test", &["::ffff:127.0.0.1"]);
    let backend = Backend::start().await;
    let yaml = to(&[backend.address.to_string()], &server, "");
    let gateway = Gateway::start(&yaml).await;
    let mut control = gateway.control().await;
    let port = gateway.control_address().port();
    let own = [
        format!("127.0.0.1:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("[::ffff:7f00:1]:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::]:{port}"),
        format!("inside.test:{port}"),
        format!("mapped.test:{port}"),
    ];
    for address in &own {
        control.add_at(address).await;
    }
    control.drain(backend.address).await;
    let mut client = gateway.client().await;
    for _ in 0..3 * own.len() {
        let status = client.unary(message("x")).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    }
}

/// `count` addresses, at all but one of which there is nobody.
fn crowd(count: usize, one: usize) -> Vec<String> {
    let address = |number| match number {
        number if number == one => "127.0.0.1".to_owned(),
        number => format!("127.0.1.{number}"),
    };
    (0..count).map(address).collect()
}

/// Two name servers that are asked at once, and a call to the backend at `one` of `count` addresses
/// of `crowd.test`: how often it was asked for by TCP.
async fn call_in_crowd(tcp: Tcp, old: bool, count: usize, one: usize) -> usize {
    let servers = [NameServer::with(tcp, old).await, NameServer::with(tcp, old).await];
    let backend = Backend::start().await;
    let addresses = crowd(count, one);
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    servers.iter().for_each(|server| server.set("crowd.test", &addresses));
    let [first, second] = servers.each_ref().map(|server| server.address);
    let yaml = format!("dns: {{ servers: [ \"{first}\", \"{second}\" ] }}\n");
    let name = format!("crowd.test:{}", backend.address.port());
    let gateway = Gateway::start(&asking(&yaml, &[name], PATIENT)).await;
    let answer = soon("it is answered", gateway.client().await.unary(message("x"))).await;
    assert_eq!(client::backend(&answer.unwrap()), backend.address);
    servers.iter().map(|server| server.asked_by_tcp("crowd.test")).sum()
}

#[tokio::test]
async fn answers_too_long_for_a_packet_are_had_by_tcp() {
    assert!(call_in_crowd(Tcp::Answered, false, 100, 99).await > 0);
    assert!(call_in_crowd(Tcp::Answered, true, 40, 39).await > 0, "with no extensions");
}

#[tokio::test]
async fn without_tcp_the_addresses_that_did_fit_are_used() {
    assert_eq!(call_in_crowd(Tcp::Refused, false, 100, 10).await, 0);
    assert_eq!(call_in_crowd(Tcp::Silent, false, 100, 10).await, 0);
}

#[tokio::test]
async fn a_packet_takes_more_than_512_bytes() {
    assert_eq!(call_in_crowd(Tcp::Answered, false, 70, 69).await, 0);
}
