//! Look-ups, of dnsmasq and of a server that fails by script.

use std::net::{IpAddr, SocketAddr};

use equipoise::control::proto::ListSourcesRequest;
use equipoise::dns::{Dns as _, Families, LookupError, Lookups, Past, Records, Srv};

use super::discovered;
use crate::support::backend::Backend;
use crate::support::dns::{A, AAAA, Fault, NameServer, SRV, Tcp};
use crate::support::dnsmasq::Dnsmasq;
use crate::support::gateway::{Control, Gateway};
use crate::support::load::Load;
use crate::support::{eventually, soon};

fn lookups(server: SocketAddr) -> Lookups {
    Lookups::new(vec![server])
}

async fn addresses(server: SocketAddr, name: &str) -> Families {
    soon(name, lookups(server).addresses(name, &mut Past::default())).await
}

async fn hosts(server: SocketAddr, name: &str) -> Result<Records<Srv>, LookupError> {
    soon(name, lookups(server).hosts(name, &mut Past::default())).await
}

fn sorted(found: &Result<Records<IpAddr>, LookupError>) -> Vec<String> {
    let mut all: Vec<_> = found.as_ref().unwrap().records.iter().map(IpAddr::to_string).collect();
    all.sort();
    all
}

#[tokio::test]
async fn both_families_and_services_are_found() {
    let names = "10.0.0.1 both.test\n10.0.0.2 both.test\nfd00::1 both.test\n10.0.0.3 four.test\n";
    let services = "srv-host=_grpc._tcp.orders.test,one.test,8080,10,5\n\
                    srv-host=_grpc._tcp.orders.test,other.test,8081,20,0\n\
                    srv-host=_grpc._tcp.ended.test\n";
    let server = Dnsmasq::start(names, services).await;
    let both = addresses(server.address, "Both.test").await;
    assert_eq!(sorted(&both.v4), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(sorted(&both.v6), ["fd00::1"]);
    assert_eq!(both.v4.unwrap().ttl.as_secs(), 1);
    let four = addresses(server.address, "four.test").await;
    assert_eq!((sorted(&four.v4).len(), sorted(&four.v6).len()), (1, 0), "no data is an answer");
    let unknown = addresses(server.address, "unknown.test").await;
    assert_eq!((unknown.any(), unknown.error()), (false, None), "so is NXDOMAIN");
    let mut found = hosts(server.address, "_grpc._tcp.orders.test").await.unwrap().records;
    found.sort_by_key(|srv| srv.priority);
    let srv = |priority, weight, port, target: &str| Srv {
        priority,
        weight,
        port,
        target: target.into(),
    };
    assert_eq!(found, [srv(10, 5, 8080, "one.test"), srv(20, 0, 8081, "other.test")]);
    let ended = hosts(server.address, "_grpc._tcp.ended.test").await.unwrap().records;
    assert_eq!(ended, [srv(0, 0, 1, "")]);
    let none = hosts(server.address, "_grpc._tcp.unknown.test").await.unwrap();
    assert_eq!(none.records, []);
}

#[tokio::test]
async fn every_look_up_asks_anew() {
    let mut server = Dnsmasq::start("10.0.0.1 moves.test\n", "").await;
    let (lookups, mut past) = (lookups(server.address), Past::default());
    let mut first = async || {
        let found = soon("an answer", lookups.addresses("moves.test", &mut past)).await;
        found.v4.map(|found| found.records.first().map(IpAddr::to_string))
    };
    assert_eq!(first().await, Ok(Some("10.0.0.1".into())));
    server.set_hosts("10.0.0.2 moves.test\n");
    eventually("it has moved", async || first().await == Ok(Some("10.0.0.2".into()))).await;
    server.stop();
    first().await.unwrap_err();
    server.restart("10.0.0.3 moves.test\n", "").await;
    eventually("it is back", async || first().await == Ok(Some("10.0.0.3".into()))).await;
}

/// As many lines of a file of hosts, of one name.
fn crowd(count: usize) -> String {
    let line = |number: usize| format!("10.1.{}.{} crowd.test\n", number / 250, number % 250 + 1);
    (0..count).map(line).collect()
}

#[tokio::test]
async fn an_answer_carries_four_thousand_addresses_but_not_ten_thousand() {
    let server = Dnsmasq::start(&crowd(4000), "").await;
    // A look-up has a time limit, which a busy machine may exceed.
    let whole = async || {
        let found = addresses(server.address, "crowd.test").await.v4;
        found.is_ok_and(|found| found.records.len() == 4000)
    };
    eventually("all of them are found", whole).await;
    let server = Dnsmasq::start(&crowd(10_000), "").await;
    let refused = async || {
        let error = addresses(server.address, "crowd.test").await.v4.unwrap_err();
        error.to_string().contains("spread it over several names")
    };
    eventually("they are too many", refused).await;
}

#[tokio::test]
async fn one_family_fails_without_the_other() {
    let server = NameServer::start().await;
    server.set("orders.test", &["10.0.0.1", "fd00::1"]);
    for (fails, fault) in [
        (A, Fault::ServerFailure),
        (A, Fault::Silence),
        (AAAA, Fault::ServerFailure),
        (AAAA, Fault::Silence),
    ] {
        server.fail("orders.test", fails, Some(fault));
        let found = addresses(server.address, "orders.test").await;
        let [well, failed] =
            if fails == A { [&found.v6, &found.v4] } else { [&found.v4, &found.v6] };
        assert_eq!(well.as_ref().unwrap().records.len(), 1);
        match (fault, failed.as_ref().unwrap_err()) {
            (Fault::Silence, error) => assert_eq!(*error, LookupError::Silent),
            (_, error) => assert!(error.to_string().contains("Server Failure"), "{error}"),
        }
        server.fail("orders.test", fails, None);
    }
    server.fail("orders.test", AAAA, Some(Fault::Unknown));
    assert_eq!(addresses(server.address, "orders.test").await.error(), None);
    server.fail("orders.test", A, Some(Fault::Silence));
    server.fail("orders.test", AAAA, Some(Fault::ServerFailure));
    let found = addresses(server.address, "orders.test").await;
    assert!(found.v4.is_err() && found.v6.is_err(), "{found:?}");
    server.set_hosts("_grpc._tcp.orders.test", &[(1, 1, 80, "orders.test")]);
    assert_eq!(hosts(server.address, "_grpc._tcp.orders.test").await.unwrap().records.len(), 1);
    for fault in [Fault::ServerFailure, Fault::Silence] {
        server.fail("_grpc._tcp.orders.test", SRV, Some(fault));
        hosts(server.address, "_grpc._tcp.orders.test").await.unwrap_err();
    }
}

#[tokio::test]
async fn the_first_part_of_an_answer_says_nothing_of_the_rest() {
    let crowd: Vec<_> = (1..=100).map(|last| format!("10.0.0.{last}")).collect();
    let crowd: Vec<_> = crowd.iter().map(String::as_str).collect();
    for (tcp, whole) in [(Tcp::Answered, true), (Tcp::Refused, false), (Tcp::Silent, false)] {
        let server = NameServer::with(tcp, false).await;
        server.set("crowd.test", &crowd);
        let found = addresses(server.address, "crowd.test").await.v4;
        match whole {
            true => assert_eq!(found.unwrap().records.len(), 100),
            false => drop(found.unwrap_err()),
        }
    }
}

/// `srv-host` lines for `_grpc._tcp.orders.test`: priority, weight and the backend, whose name is the
/// same for all.
fn services(hosts: &[(u16, u16, &Backend)]) -> String {
    let line = |(priority, weight, backend): &(u16, u16, &Backend)| {
        let port = backend.address.port();
        format!("srv-host=_grpc._tcp.orders.test,here.test,{port},{priority},{weight}\n")
    };
    hosts.iter().map(line).collect()
}

/// Address and weight of each backend.
async fn weights(control: &mut Control) -> Vec<(String, u32)> {
    let backends = control.backends().await.into_iter();
    let mut all: Vec<_> = backends.map(|backend| (backend.address, backend.weight)).collect();
    all.sort();
    all
}

fn sorted_weights(hosts: &[(&Backend, u32)]) -> Vec<(String, u32)> {
    let text = |backend: &Backend| format!("here.test:{}", backend.address.port());
    let mut all: Vec<_> = hosts.iter().map(|(it, weight)| (text(it), *weight)).collect();
    all.sort();
    all
}

#[tokio::test]
async fn requests_succeed_whatever_becomes_of_the_records_of_a_service() {
    let [a, b, spare, new] = [(); 4].map(|()| Backend::start());
    let (a, b, spare, new) = (a.await, b.await, spare.await, new.await);
    let here = "127.0.0.1 here.test\n";
    let mut server =
        Dnsmasq::start(here, &services(&[(1, 3, &a), (1, 1, &b), (2, 9, &spare)])).await;
    let source = "{ dns: { srv: [ _grpc._tcp.orders.test ] } }";
    let gateway = Gateway::start(&(server.yaml() + &discovered(source, ""))).await;
    let mut control = gateway.control().await;
    let load = Load::start(gateway.client().await);
    assert_eq!(weights(&mut control).await, sorted_weights(&[(&a, 3), (&b, 1), (&spare, 0)]));
    load.passes(40).await;
    assert!(a.seen.requests() > b.seen.requests() && spare.seen.requests() == 0);

    // The server is away, and comes back with another answer.
    server.stop();
    eventually("it is missed", async || source_error(&mut control).await.contains("orders.test"))
        .await;
    server.restart(here, &services(&[(1, 1, &b), (1, 1, &new)])).await;
    let all = [(&a, 3), (&b, 1), (&spare, 0), (&new, 1)];
    eventually("it is seen", async || weights(&mut control).await == sorted_weights(&all)).await;
    let before = new.seen.requests();
    eventually("it serves", async || new.seen.requests() > before).await;
    let all = [(&b, 1), (&new, 1)];
    eventually("the others fade", async || weights(&mut control).await == sorted_weights(&all))
        .await;
    assert_eq!(load.end().await, 0, "requests failed");
    gateway.idle().await;
}

async fn source_error(control: &mut Control) -> String {
    let request = ListSourcesRequest { service: "echo".into() };
    control.0.list_sources(request).await.unwrap().into_inner().sources.remove(0).last_error
}
