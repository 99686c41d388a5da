//! An etcd that is away, stands still, or has lost its data removes nobody.

use std::time::{Duration, Instant};

use super::{backends, found_at, gateway, has_exactly, key, members, source};
use crate::support::backend::Backend;
use crate::support::client::message;
use crate::support::etcd::{Etcd, Link};
use crate::support::eventually;
use crate::support::gateway::Gateway;

#[tokio::test]
async fn what_changed_while_it_was_away_is_found_when_it_is_back() {
    let mut etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let [a, b, c, d]: [Backend; 4] = backends().await;
    for (name, backend) in [("a", &a), ("b", &b), ("c", &c)] {
        writer.put(&key(name), backend.address.to_string()).await;
    }
    let gateway = gateway(&etcd).await;
    let mut control = gateway.control().await;
    has_exactly(&mut control, &[a.address, b.address, c.address]).await;
    let mut client = gateway.client().await;
    etcd.kill();
    eventually("it is seen to be away", async || !source(&mut control).await.up).await;
    for _ in 0..20 {
        client.unary(message("x")).await.unwrap();
    }
    has_exactly(&mut control, &[a.address, b.address, c.address]).await;
    etcd.start_again().await;
    // The gateway may come back between any two of these.
    let mut writer = etcd.writer().await;
    writer.delete(&key("a")).await;
    let revision = writer.put(&key("d"), d.address.to_string()).await;
    writer.compact(revision).await;
    has_exactly(&mut control, &[b.address, c.address, d.address]).await;
    assert!(source(&mut control).await.up);
    client.unary(message("x")).await.unwrap();
}

#[tokio::test]
async fn lost_data_takes_nobody_out_and_who_registers_again_is_found() {
    let mut etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let [a, b]: [Backend; 2] = backends().await;
    for n in 0..10 {
        writer.put(&key("a"), a.address.to_string()).await;
        writer.put(&format!("elsewhere/{n}"), "x").await;
    }
    let gateway = gateway(&etcd).await;
    let mut control = gateway.control().await;
    let mut client = gateway.client().await;
    etcd.kill();
    etcd.wipe();
    etcd.start_again().await;
    eventually("what was lost is held", async || source(&mut control).await.held_backends == 1)
        .await;
    has_exactly(&mut control, &[a.address]).await;
    client.unary(message("x")).await.unwrap();
    let mut writer = etcd.writer().await;
    writer.put(&key("b"), b.address.to_string()).await;
    has_exactly(&mut control, &[a.address, b.address]).await;
    writer.put(&key("a"), a.address.to_string()).await;
    eventually("nothing is held", async || source(&mut control).await.held_backends == 0).await;
    has_exactly(&mut control, &[a.address, b.address]).await;
}

#[tokio::test]
async fn one_that_stands_still_for_a_moment_is_followed_on() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let [a, b]: [Backend; 2] = backends().await;
    writer.put(&key("a"), a.address.to_string()).await;
    let gateway = gateway(&etcd).await;
    let mut control = gateway.control().await;
    etcd.signal("STOP");
    let address = b.address.to_string();
    let late = tokio::spawn(async move { writer.put(&key("b"), address).await });
    gateway.client().await.unary(message("x")).await.unwrap();
    has_exactly(&mut control, &[a.address]).await;
    etcd.signal("CONT");
    late.await.unwrap();
    has_exactly(&mut control, &[a.address, b.address]).await;
}

/// How soon a change is seen after a minute away: killed, standing still, and behind a link that is cut.
#[tokio::test]
#[ignore = "takes three minutes: tests/run --registries"]
async fn after_a_minute_away_it_is_in_step_at_once() {
    let mut etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let [a, b]: [Backend; 2] = backends().await;
    writer.put(&key("a"), a.address.to_string()).await;
    let link = Link::to(etcd.address).await;
    let endpoint = [format!("http://{}", link.address)];
    let gateway = Gateway::start(&found_at(&endpoint, "", "balancer: round_robin")).await;
    let mut control = gateway.control().await;
    for kind in ["killed", "stopped", "cut off"] {
        match kind {
            "killed" => etcd.kill(),
            "stopped" => etcd.signal("STOP"),
            _ => link.cut(),
        }
        let (mut client, begun, mut requests) = (gateway.client().await, Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(60) {
            client.unary(message("x")).await.unwrap();
            requests += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!source(&mut control).await.up, "{kind}");
        match kind {
            "killed" => etcd.start_again().await,
            "stopped" => etcd.signal("CONT"),
            _ => {
                let revision = etcd.writer().await.put("elsewhere", "x").await;
                etcd.writer().await.compact(revision).await;
                link.mend();
            }
        }
        let back = Instant::now();
        let mut writer = etcd.writer().await;
        writer.put(&key("b"), b.address.to_string()).await;
        let load = tokio::spawn(async move {
            loop {
                client.unary(message("x")).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        has_exactly(&mut control, &[a.address, b.address]).await;
        let took = back.elapsed();
        println!("{kind}: {requests} requests, none failed; in step {took:?} after the return");
        assert!(took < Duration::from_secs(15), "{kind}: {took:?}");
        load.abort();
        writer.delete(&key("b")).await;
        has_exactly(&mut control, &[a.address]).await;
        assert_eq!(members(&mut control).await.len(), 1);
    }
}
