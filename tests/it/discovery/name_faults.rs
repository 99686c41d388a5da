//! Names whose servers change their minds, are away, and fail: no request does.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use equipoise::control::proto::Backend as BackendView;

use crate::support::backend::{Backend, Options};
use crate::support::dns::{A, AAAA, Fault, NameServer, Tcp};
use crate::support::dnsmasq::Dnsmasq;
use crate::support::eventually;
use crate::support::gateway::{Control, Gateway, PORTS};
use crate::support::load::Load;

/// A backend at the same port as `first`, at another address of this machine.
async fn beside(first: &Backend, ip: &str) -> Backend {
    let address = Some(SocketAddr::new(ip.parse().unwrap(), first.address.port()));
    Backend::with(Options { address, ..Options::default() }).await
}

/// A gateway with these endpoints.
async fn gateway(servers: &str, endpoints: &[String]) -> Gateway {
    let endpoints = endpoints.join("', '");
    Gateway::start(&format!(
        "{PORTS}{servers}services: {{ echo: {{ connect_timeout: 60s, pending_timeout: 60s, \
         endpoints: [ '{endpoints}' ] }} }}\nroutes: [ {{ service: echo }} ]\n"
    ))
    .await
}

/// Where the backends are.
async fn places(control: &mut Control) -> BTreeSet<String> {
    let ip = |at: &str| at.rsplit_once(':').map(|(ip, _)| ip.to_owned());
    let backends = control.backends().await.into_iter();
    backends.filter_map(|backend| ip(&backend.resolved_address)).collect()
}

fn set(ips: &[&str]) -> BTreeSet<String> {
    ips.iter().map(|ip| (*ip).to_owned()).collect()
}

async fn places_once(control: &mut Control, what: &str, ips: &[&str]) {
    let expected = set(ips);
    eventually(what, async || places(control).await == expected).await;
}

fn hosts(ips: &[&str]) -> String {
    ips.iter().map(|ip| format!("{ip} moves.test\n")).collect()
}

#[tokio::test]
async fn no_request_fails_while_answers_change_shrink_and_cease() {
    let mut first = Backend::start().await;
    let (mut second, third) =
        (beside(&first, "127.0.0.2").await, beside(&first, "127.0.0.3").await);
    let [a, b, c] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    let mut server = Dnsmasq::start(&hosts(&[a, b]), "").await;
    let gateway = gateway(&server.yaml(), &[format!("moves.test:{}", first.address.port())]).await;
    let mut control = gateway.control().await;
    let load = Load::start(gateway.client().await);
    places_once(&mut control, "the first answer", &[a, b]).await;

    server.set_hosts(&hosts(&[c, b]));
    places_once(&mut control, "another answer", &[a, b, c]).await;
    eventually("the new one serves", async || third.seen.requests() > 0).await;
    // What answers do not tell of any more may well be gone, as it is here.
    first.leave();
    server.set_hosts(&hosts(&[c]));
    places_once(&mut control, "what answers lack fades", &[c]).await;
    second.leave();

    server.stop();
    load.passes(800).await;
    server.restart("127.0.0.9 others.test\n", "").await; // NXDOMAIN
    load.passes(800).await;
    assert_eq!(places(&mut control).await, set(&[c]));
    assert_eq!(load.end().await, 0, "requests failed");
    gateway.idle().await;
}

#[tokio::test]
async fn no_request_fails_while_one_family_fails_or_all_do() {
    let first = Backend::start().await;
    let (_second, _sixth) = (beside(&first, "127.0.0.2").await, beside(&first, "::1").await);
    let server = NameServer::start().await;
    let all = ["127.0.0.1", "127.0.0.2", "[::1]"];
    server.set("fails.test", &["127.0.0.1", "127.0.0.2", "::1"]);
    let gateway = gateway(&server.yaml(), &[format!("fails.test:{}", first.address.port())]).await;
    let mut control = gateway.control().await;
    let load = Load::start(gateway.client().await);
    places_once(&mut control, "both families", &all).await;
    for fault in [Fault::ServerFailure, Fault::Silence] {
        for families in [&[A][..], &[AAAA], &[A, AAAA]] {
            families.iter().for_each(|kind| server.fail("fails.test", *kind, Some(fault)));
            let before = server.asked("fails.test");
            eventually("it is asked again", async || server.asked("fails.test") > before + 3).await;
            assert_eq!(places(&mut control).await, set(&all));
            families.iter().for_each(|kind| server.fail("fails.test", *kind, None));
        }
    }
    assert_eq!(load.end().await, 0, "requests failed");
    gateway.idle().await;
}

#[tokio::test]
async fn names_that_resolve_to_the_same_addresses_are_backends_of_their_own() {
    let server = NameServer::start().await;
    let first = Backend::start().await;
    let _second = beside(&first, "127.0.0.2").await;
    server.set("one.test", &["127.0.0.1", "127.0.0.2"]);
    server.set("other.test", &["127.0.0.2", "127.0.0.1"]);
    let port = first.address.port();
    let all = ["one.test", "other.test", "127.0.0.1"].map(|host| format!("{host}:{port}"));
    let gateway = gateway(&server.yaml(), &all).await;
    let mut control = gateway.control().await;
    let load = Load::start(gateway.client().await);
    control.backends_once("two of each name", |backends| backends.len() == 5).await;
    let served = |backends: &[BackendView]| backends.iter().all(|backend| backend.requests > 0);
    control.backends_once("each serves", served).await;
    control.set_weights(&[(first.address, 2)]).await;
    assert!(served(&control.backends().await), "what was counted stays with a change");
    assert_eq!(load.end().await, 0, "requests failed");
    gateway.idle().await;
}

#[tokio::test]
async fn no_request_fails_for_answers_that_are_cut_off() {
    let options = || Options { address: Some("0.0.0.0:0".parse().unwrap()), ..Options::default() };
    let backend = Backend::with(options()).await;
    let endpoint = [format!("moves.test:{}", backend.address.port())];
    let crowd: Vec<String> = (1..=150).map(|last| format!("127.0.1.{last}")).collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    let dnsmasq = Dnsmasq::start(&hosts(&crowd), "").await;
    let gateway_of_all = gateway(&dnsmasq.yaml(), &endpoint).await;
    let load = Load::start(gateway_of_all.client().await);
    let mut control = gateway_of_all.control().await;
    places_once(&mut control, "all, by TCP", &crowd).await;
    dnsmasq.set_hosts(&hosts(&crowd[..75]));
    load.passes(800).await;
    assert_eq!(places(&mut control).await.len(), 150);
    assert_eq!(load.end().await, 0, "requests failed");

    // Without TCP the name stays one backend, at any of the addresses that were told.
    let server = NameServer::with(Tcp::Refused, false).await;
    server.set("moves.test", &crowd);
    let gateway = gateway(&server.yaml(), &endpoint).await;
    let load = Load::start(gateway.client().await);
    load.passes(400).await;
    assert_eq!(places(&mut gateway.control().await).await, set(&[]));
    assert_eq!(load.end().await, 0, "requests failed");
    gateway.idle().await;
}

#[tokio::test]
async fn a_name_of_four_thousand_addresses_is_four_thousand_backends() {
    let options = Options { address: Some("0.0.0.0:0".parse().unwrap()), ..Options::default() };
    let backend = Backend::with(options).await;
    let all: Vec<String> =
        (0..4000).map(|n| format!("127.1.{}.{}", n / 250, n % 250 + 1)).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let server = Dnsmasq::start(&hosts(&all), "").await;
    let endpoint = format!("moves.test:{}", backend.address.port());
    let gateway = gateway(&server.yaml(), &[endpoint]).await;
    let load = Load::start(gateway.client().await);
    let mut control = gateway.control().await;
    control.backends_once("all of them", |backends| backends.len() == 4000).await;
    load.passes(200).await;
    assert_eq!(load.end().await, 0, "requests failed");
    gateway.idle().await;
}
