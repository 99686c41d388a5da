//! Services that come and go all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::{backends, gateway, key, members};
use crate::support::backend::Backend;
use crate::support::client::message;
use crate::support::etcd::Etcd;
use crate::support::soon;

/// From one event to the next: about a thousand in a minute.
const PERIOD: Duration = Duration::from_millis(60);

const TIME: Duration = Duration::from_secs(60);

/// Requests of one client begin so often; there are three.
const REQUESTS: Duration = Duration::from_millis(10);

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
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let mut client = gateway.client().await;
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        load.spawn(async move {
            let mut turn = tokio::time::interval(REQUESTS);
            while !stop.load(SeqCst) {
                turn.tick().await;
                client.unary(message("x")).await.unwrap();
                answered.fetch_add(1, SeqCst);
            }
        });
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
    stop.store(true, SeqCst);
    load.join_all().await;
    applied.sort();
    watched.sort();
    let middle = applied.len() / 2;
    println!(
        "{} events, {} requests, none failed; applied in {:?} (median), at most {:?}; a watch beside \
         it tells in {:?}, at most {:?}",
        applied.len(),
        answered.load(SeqCst),
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
