//! Backends from a real etcd.

mod away;
mod churn;
mod documented;
mod large;
mod secured;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use equipoise::control::proto::{self, ListSourcesRequest, Source};

use super::discovered;
use crate::support::backend::Backend;
use crate::support::client::message;
use crate::support::etcd::Etcd;
use crate::support::eventually;
use crate::support::gateway::{Control, Gateway};
use crate::support::load::Load;

const PREFIX: &str = "/services/echo";

/// A configuration whose service `echo` is found at these endpoints of etcd; `keys` are more of its keys,
/// `settings` more lines of the service.
fn found_at(endpoints: &[String], keys: &str, settings: &str) -> String {
    let endpoints = endpoints.join("\", \"");
    let etcd = format!("endpoints: [ \"{endpoints}\" ], prefix: {PREFIX}, {keys}");
    discovered(&format!("{{ etcd: {{ {etcd} }}, initial_timeout: 60s }}"), settings)
}

/// A gateway that finds `echo` in `etcd`. Nothing times out on a loaded machine.
async fn gateway(etcd: &Etcd) -> Gateway {
    let endpoint = format!("http://{}", etcd.address);
    Gateway::start(&found_at(&[endpoint], "timeout: 60s", "balancer: round_robin")).await
}

async fn backends<const N: usize>() -> [Backend; N] {
    let mut started = Vec::new();
    for _ in 0..N {
        started.push(Backend::start().await);
    }
    started.try_into().unwrap_or_else(|_| unreachable!())
}

/// The backends by address.
async fn members(control: &mut Control) -> BTreeMap<String, proto::Backend> {
    control.backends().await.into_iter().map(|it| (it.address.clone(), it)).collect()
}

async fn has_exactly(control: &mut Control, addresses: &[SocketAddr]) {
    let mut wanted: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    wanted.sort();
    eventually(&format!("just these are found: {wanted:?}"), async || {
        members(control).await.into_keys().collect::<Vec<_>>() == wanted
    })
    .await;
}

async fn source(control: &mut Control) -> Source {
    let request = ListSourcesRequest { service: "echo".into() };
    control.0.list_sources(request).await.unwrap().into_inner().sources.remove(0)
}

fn key(name: impl std::fmt::Display) -> String {
    format!("{PREFIX}/{name}")
}

#[tokio::test]
async fn services_of_every_framework_are_found_as_they_are() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let live: [Backend; 8] = backends().await;
    let at: Vec<SocketAddr> = live.iter().map(|backend| backend.address).collect();
    let (a, port) = (&at, |index: usize| at[index].port());
    let lease = writer.grant(600).await;
    let kratos = format!(
        r#"{{"id":"k1","name":"echo","version":"v1","metadata":{{"weight":"4"}},
            "endpoints":["http://127.0.0.1:1?isSecure=false","grpc://{}?isSecure=false"]}}"#,
        a[3]
    );
    let micro = format!(
        r#"{{"name":"echo","version":"latest","metadata":null,"endpoints":[],
            "nodes":[{{"id":"echo-1","address":"{}","metadata":{{"protocol":"grpc"}}}}]}}"#,
        a[4]
    );
    let dubbo = format!(
        r#"{{"ID":"x","ServiceName":"echo","Host":"127.0.0.1","Port":1,"Enable":true,"Healthy":true,
            "Metadata":{{"dubbo.endpoints":"[{{\"port\":1,\"protocol\":\"dubbo\"}},{{\"port\":{},\"protocol\":\"tri\"}}]"}},
            "Address":"127.0.0.1:1"}}"#,
        port(5)
    );
    let own = format!(
        r#"{{"address":"{}","weight":2,"zone":"east","instance":"own-1","metadata":{{"v":"7"}}}}"#,
        a[7]
    );
    for (name, value) in [
        ("naming", format!(r#"{{"Op":0,"Addr":"{}","Metadata":null}}"#, a[0])),
        ("7587869113384386817", a[1].to_string()), // go-zero
        ("kitex", format!(r#"{{"network":"tcp","address":"{}","weight":0,"tags":null}}"#, a[2])),
        ("kratos", kratos),
        ("micro", micro),
        ("dubbo", dubbo),
        ("plain", format!("{}\n", a[6])),
        ("own", own),
        ("bad", "{}".into()),
        ("unsafe", "0.0.0.0:80".into()),
        ("long", "x".repeat(2 << 20)),
    ] {
        let lease = if name == "own" { 0 } else { lease };
        writer.put_with(&key(name), value, lease).await;
    }
    // Beside it, and none of it.
    writer.put(&format!("{PREFIX}-old/a"), "127.0.0.1:1").await;
    writer.put(&format!("{PREFIX}0"), "127.0.0.1:1").await;
    let gateway = gateway(&etcd).await;
    let mut control = gateway.control().await;
    has_exactly(&mut control, &at).await;
    let members = members(&mut control).await;
    let of = |index: usize| &members[&at[index].to_string()];
    assert_eq!(of(0).instance, format!("{lease:x}"));
    let weights: Vec<_> = [2, 3, 5, 7].map(|index| of(index).weight).into();
    assert_eq!(weights, [10, 4, 100, 2]);
    let own = of(7);
    assert_eq!((&*own.zone, &*own.instance, &*own.metadata["v"]), ("east", "own-1", "7"));
    let source = source(&mut control).await;
    assert_eq!((source.up, source.errors), (true, 3), "{}", source.last_error);
    let mut client = gateway.client().await;
    eventually("all get requests", async || {
        client.unary(message("x")).await.unwrap();
        live.iter().all(|backend| backend.seen.requests() > 0)
    })
    .await;
    writer.revoke(lease).await;
    has_exactly(&mut control, &at).await; // so many at once are kept for a while
}

#[tokio::test]
async fn who_registers_and_leaves_under_load_fails_no_request() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let live: [Backend; 5] = backends().await;
    for (index, backend) in live.iter().enumerate() {
        writer.put(&key(index), backend.address.to_string()).await;
    }
    let gateway = gateway(&etcd).await;
    let mut control = gateway.control().await;
    let mut load = Vec::new();
    for _ in 0..4 {
        load.push(Load::start(gateway.client().await));
    }
    let all: Vec<_> = live.iter().map(|backend| backend.address).collect();
    for round in 0..12 {
        let leaves = round % 5;
        writer.delete(&key(leaves)).await;
        let rest: Vec<_> = all.iter().copied().filter(|it| *it != all[leaves]).collect();
        has_exactly(&mut control, &rest).await;
        let value = format!(r#"{{"address":"{}","weight":{}}}"#, all[leaves], round + 1);
        writer.put(&key(leaves), value).await;
        has_exactly(&mut control, &all).await;
        let weight = members(&mut control).await[&all[leaves].to_string()].weight;
        assert_eq!(weight, round as u32 + 1);
        for client in &load {
            client.passes(5).await;
        }
    }
    for client in load {
        assert_eq!(client.end().await, 0);
    }
    gateway.idle().await;
}

#[tokio::test]
async fn an_instance_at_the_same_address_is_a_new_one() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let [backend] = backends().await;
    let first = writer.grant(600).await;
    writer.put_with(&key(first), backend.address.to_string(), first).await;
    let gateway = gateway(&etcd).await;
    let mut control = gateway.control().await;
    let instance = async |control: &mut Control| {
        members(control).await[&backend.address.to_string()].instance.clone()
    };
    assert_eq!(instance(&mut control).await, format!("{first:x}"));
    // It has started anew, and its earlier lease has not run out yet.
    let second = writer.grant(600).await;
    writer.put_with(&key(second), backend.address.to_string(), second).await;
    eventually("the later life counts", async || {
        instance(&mut control).await == format!("{second:x}")
    })
    .await;
    writer.revoke(first).await;
    let other: [Backend; 1] = backends().await;
    writer.put(&key("other"), other[0].address.to_string()).await;
    has_exactly(&mut control, &[backend.address, other[0].address]).await;
    assert_eq!(instance(&mut control).await, format!("{second:x}"));
}

#[tokio::test]
async fn another_member_is_asked_when_one_fails() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let [backend] = backends().await;
    writer.put(&key("a"), backend.address.to_string()).await;
    let endpoints = ["http://127.0.0.1:1", "http://no-such-name.invalid:2379"];
    let mut endpoints = endpoints.map(str::to_owned).to_vec();
    endpoints.push(format!("http://{}", etcd.address));
    let gateway = Gateway::start(&found_at(&endpoints, "", "")).await;
    let mut client = gateway.client().await;
    client.unary(message("x")).await.unwrap();
    assert!(source(&mut gateway.control().await).await.up);
}
