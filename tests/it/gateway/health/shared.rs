//! One checker for all who want to know the same, as long as anybody does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::support::eventually;
use crate::support::gateway::PORTS;
use crate::support::raw;

/// A backend that is well, and counts how often it is asked.
async fn counting() -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let address = raw::backend(move |(_, mut respond): raw::Exchange| {
        count.fetch_add(1, SeqCst);
        async move {
            let _ = respond.send_response(http::Response::new(()), true);
        }
    })
    .await;
    (address, asked)
}

/// So many services, and those among them that have an interval are checked.
fn services(address: SocketAddr, intervals: &[Option<&str>]) -> String {
    let service = |(number, interval): (usize, &Option<&str>)| {
        let health = interval.map_or_else(String::new, |interval| {
            format!("health: {{ http: /healthz, interval: {interval}, timeout: 60s }}, ")
        });
        format!("  echo{number}: {{ {health}preconnect: 0, endpoints: [ \"{address}\" ] }}\n")
    };
    let services: String = intervals.iter().enumerate().map(service).collect();
    format!("{PORTS}services:\n{services}routes: [ {{ service: echo0 }} ]\n")
}

/// How many checks each service has counted.
async fn counted(gateway: &Gateway) -> Vec<f64> {
    let page = gateway.metrics().await;
    let samples = page.samples("equipoise_health_checks_total");
    let of = samples.iter().filter(|sample| sample.labels["result"] == "success");
    of.map(|sample| sample.value).collect()
}

#[tokio::test]
async fn the_same_check_is_made_once_and_told_to_all() {
    let (address, asked) = counting().await;
    let gateway = Gateway::start(&services(address, &[Some("1h"), Some("1h"), Some("1h")])).await;
    eventually("all know", async || counted(&gateway).await == [1.0, 1.0, 1.0]).await;
    assert_eq!(asked.load(SeqCst), 1);
}

#[tokio::test]
async fn another_check_is_another_checker_and_it_goes_with_its_last_service() {
    let (address, asked) = counting().await;
    let often = Some("100ms");
    let mut gateway = Gateway::start(&services(address, &[often, often])).await;
    eventually("it is asked", async || asked.load(SeqCst) > 3).await;
    assert!(gateway.reload(&services(address, &[often, Some("1h")])).await);
    let before = asked.load(SeqCst);
    eventually("the first goes on", async || asked.load(SeqCst) > before + 5).await;
    assert!(gateway.reload(&services(address, &[None, Some("1h")])).await);
    eventually("and ends", async || is_quiet(&asked).await).await;
    assert!(gateway.reload(&services(address, &[None])).await);
    eventually("nobody asks", async || is_quiet(&asked).await).await;
}

/// Whether nobody asks for longer than from one check to the next.
async fn is_quiet(asked: &AtomicUsize) -> bool {
    let before = asked.load(SeqCst);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    asked.load(SeqCst) == before
}

#[tokio::test]
async fn drained_ones_are_checked_and_removed_ones_are_not() {
    let (address, asked) = counting().await;
    let check = format!("http: /healthz, {OFTEN}");
    let gateway = Gateway::start(&checked(&[address], &check, "")).await;
    let mut control = gateway.control().await;
    eventually("it is asked", async || asked.load(SeqCst) > 3).await;
    let (spare, _) = counting().await;
    control.add(spare).await;
    control.drain(address).await;
    let before = asked.load(SeqCst);
    eventually("it is asked still", async || asked.load(SeqCst) > before + 3).await;
    control.remove(&[address]).await;
    eventually("nobody asks", async || is_quiet(&asked).await).await;
}
