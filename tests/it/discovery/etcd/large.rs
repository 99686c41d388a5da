//! Ten thousand backends, which are more than one answer of gRPC may usually hold, and larger answers.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{found_at, has_exactly, key, source};
use crate::support::etcd::Etcd;
use crate::support::eventually;
use crate::support::gateway::Gateway;

const BACKENDS: usize = 10_000;

fn address(index: usize) -> String {
    format!("127.{}.{}.1:50051", 1 + index / 250, index % 250)
}

/// About 500 bytes.
fn value(index: usize) -> String {
    let mut metadata = String::new();
    for n in 0..10 {
        let _ = write!(metadata, r#""label-{n}":"{}","#, "v".repeat(24));
    }
    let metadata = metadata.trim_end_matches(',');
    let (address, zone) = (address(index), index % 3);
    format!(
        r#"{{"address":"{address}","weight":2,"zone":"zone-{zone}","metadata":{{{metadata}}}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes ten thousand keys: tests/run --registries"]
async fn ten_thousand_are_found_and_one_more_or_less_is_seen() {
    let etcd = Etcd::start().await;
    let writer = etcd.writer().await;
    let mut writing = JoinSet::new();
    for part in 0..100 {
        let mut writer = writer.clone();
        writing.spawn(async move {
            for index in (part..BACKENDS).step_by(100) {
                writer.put(&key(format!("{index:05}")), value(index)).await;
            }
        });
    }
    writing.join_all().await;
    let endpoint = [format!("http://{}", etcd.address)];
    let begun = Instant::now();
    let gateway = Gateway::start(&found_at(&endpoint, "", "preconnect: 0")).await;
    let started = begun.elapsed();
    let mut control = gateway.control().await;
    let seen = source(&mut control).await;
    assert_eq!((seen.backends as usize, seen.errors), (BACKENDS, 0), "{}", seen.last_error);
    let mut writer = writer;
    let mut took = Vec::new();
    for index in 0..20 {
        let before = source(&mut control).await.updates;
        let begun = Instant::now();
        match index % 2 {
            0 => writer.delete(&key("00007")).await,
            _ => writer.put(&key("00007"), value(7)).await,
        };
        eventually("it is seen", async || source(&mut control).await.updates > before).await;
        took.push(begun.elapsed());
    }
    took.sort();
    println!("started in {started:?}; a change is in after {:?}, at most {:?}", took[10], took[19]);
    assert!(started < Duration::from_secs(30) && took[19] < Duration::from_secs(10));
    writer.put(&key("one"), "127.200.0.1:1").await;
    writer.put(&key("two"), "127.200.0.2:1").await;
    eventually("too many are said", async || {
        source(&mut control).await.last_error.contains("too many backends")
    })
    .await;
    assert_eq!(source(&mut control).await.backends as usize, BACKENDS);
}

#[tokio::test]
#[ignore = "writes 140 MB: tests/run --registries"]
async fn values_that_no_answer_can_hold_hide_no_others() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    writer.put(&key("a"), "127.0.0.1:1").await;
    for n in 0..10 {
        writer.put(&key(format!("b{n}")), vec![b'x'; 7 << 20]).await;
    }
    writer.put(&key("c"), vec![b'x'; 70 << 20]).await;
    writer.put(&key("d"), "127.0.0.1:2").await;
    let endpoint = [format!("http://{}", etcd.address)];
    let gateway = Gateway::start(&found_at(&endpoint, "timeout: 60s", "")).await;
    let mut control = gateway.control().await;
    has_exactly(&mut control, &["127.0.0.1:1", "127.0.0.1:2"].map(|at| at.parse().unwrap())).await;
    let seen = source(&mut control).await;
    assert_eq!((seen.up, seen.errors), (true, 11), "{}", seen.last_error);
    writer.put(&key("e"), vec![b'x'; 70 << 20]).await;
    writer.put(&key("f"), "127.0.0.1:3").await;
    let addresses = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"];
    has_exactly(&mut control, &addresses.map(|at| at.parse().unwrap())).await;
}
