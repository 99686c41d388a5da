//! Services that come and go all the time.

use std::time::{Duration, Instant};

use super::{backends, gateway, key, members};
use crate::support::backend::Backend;
use crate::support::etcd::Etcd;
use crate::support::load::Load;
use crate::support::soon;

/// From one event to the next: about a thousand in a minute.
const PERIOD: Duration = Duration::from_millis(60);

const TIME: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: tests/run --registries"]
async fn a_thousand_events_a_minute_fail_no_request_and_are_seen_at_once() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let live: [Backend; 20] = backends().await;
    for (index, backend) in live.iter().enumerate() {
        writer.put(&key(index), backend.address.to_string()).await;
    }
    let gateway = gateway(&etcd).await;
    let mut control = gateway.control().await;
    let mut load = Vec::new();
    for _ in 0..3 {
        load.push(Load::start(gateway.client().await));
    }
    let mut direct = writer.watch(&key("")).await;
    let (mut applied, mut watched) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    let mut turn = tokio::time::interval(PERIOD);
    for event in 0.. {
        turn.tick().await;
        if begun.elapsed() > TIME {
            break;
        }
        let (index, leaves) = (event / 2 % live.len(), event % 2 == 0);
        let address = live[index].address.to_string();
        let at = Instant::now();
        let revision = match leaves {
            true => writer.delete(&key(index)).await,
            false => writer.put(&key(index), address.clone()).await,
        };
        soon("a watch", direct.wait_for(|told| *told >= revision)).await.unwrap();
        watched.push(at.elapsed());
        while members(&mut control).await.contains_key(&address) == leaves {
            assert!(at.elapsed() < Duration::from_secs(60), "event {event} is not seen");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        applied.push(at.elapsed());
    }
    let answered: usize = load.iter().map(Load::succeeded).sum();
    for client in load {
        assert_eq!(client.end().await, 0);
    }
    applied.sort();
    watched.sort();
    let middle = applied.len() / 2;
    println!(
        "{} events, {} requests, none failed; applied in {:?} (median), at most {:?}; a watch beside \
         it tells in {:?}, at most {:?}",
        applied.len(),
        answered,
        applied[middle],
        applied[applied.len() - 1],
        watched[middle],
        watched[watched.len() - 1],
    );
    assert!(applied.len() > 200, "{} events", applied.len());
    gateway.idle().await;
    let left = gateway.metrics().await;
    let sum: f64 = left.samples("equipoise_backend_weight").iter().map(|it| it.value).sum();
    assert!(sum > 0.0 && sum <= live.len() as f64, "{sum}");
}
