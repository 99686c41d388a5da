//! Hedging: a second attempt beside a slow first one.

use std::net::SocketAddr;

use crate::support::backend::{Backend, Options};
use crate::support::client::{self, held, message};
use crate::support::eventually;
use crate::support::gateway::{Gateway, one_service};

async fn gateway(endpoints: &[SocketAddr], settings: &str, hedge: &str) -> Gateway {
    let yaml = one_service(endpoints, settings);
    Gateway::start(&yaml.replace("{ service: echo }", &format!("{{ service: echo, {hedge} }}")))
        .await
}

async fn hedges(gateway: &Gateway, result: &str) -> f64 {
    let page = gateway.metrics().await;
    page.find("equipoise_hedges_total", &[("result", result)]).unwrap_or_default()
}

#[tokio::test]
async fn the_first_that_answers_wins_and_the_other_is_cancelled() {
    let slow = Backend::with(Options { latency: Some(60_000..60_001), ..Options::default() }).await;
    let fast = Backend::start().await;
    let gateway =
        gateway(&[slow.address, fast.address], "balancer: round_robin", "hedge: { after: 10ms }")
            .await;
    let mut client = gateway.client().await;
    for _ in 0..10 {
        let answer = client.unary(message(vec![7; 3000])).await.unwrap();
        assert_eq!(client::backend(&answer), fast.address);
        assert_eq!(answer.get_ref().payload, vec![7; 3000]);
    }
    eventually("the slow ones are cancelled", async || slow.seen.active() == 0).await;
    assert!(slow.seen.requests() > 0);
    assert_eq!(hedges(&gateway, "won").await, slow.seen.requests() as f64);
    assert_eq!(gateway.metrics().await.value("equipoise_request_attempts_count", &[]), 10.0);
    gateway.idle().await;
}

#[tokio::test]
async fn a_single_backend_is_not_asked_twice() {
    let backend = Backend::start().await;
    let gateway = gateway(&[backend.address], "", "hedge: { after: 1ms }").await;
    let mut client = gateway.client().await;
    let call = tokio::spawn(async move { client.unary(held()).await });
    eventually("it is there", async || backend.seen.active() == 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    backend.release();
    call.await.unwrap().unwrap();
    assert_eq!(backend.seen.requests(), 1);
    gateway.idle().await;
}

#[tokio::test]
async fn an_attempt_that_fails_does_not_end_the_other() {
    let (bad, good) = (Backend::start().await, Backend::start().await);
    bad.fail(true);
    let settings = "balancer: round_robin\nejection: false";
    let hedge = "hedge: { after: 1ms }, retry: { attempts: 4 }";
    let gateway = gateway(&[bad.address, good.address], settings, hedge).await;
    let mut client = gateway.client().await;
    for _ in 0..20 {
        let answer = client.unary(message("x")).await.unwrap();
        assert_eq!(client::backend(&answer), good.address);
    }
    gateway.idle().await;
}

#[tokio::test]
async fn hedges_are_within_the_budget_and_methods_narrow_them() {
    let slow = || Options { latency: Some(20..21), ..Options::default() };
    let backends = [Backend::with(slow()).await, Backend::with(slow()).await];
    let addresses = [backends[0].address, backends[1].address];
    let none = "retry_budget: { ratio: 0, min_per_second: 0 }";
    let spent = gateway(&addresses, none, "hedge: { after: 1ms }").await;
    spent.client().await.unary(message("x")).await.unwrap();
    assert_eq!(hedges(&spent, "budget").await, 1.0);
    let other = "hedge: { after: 1ms, methods: [ echo.Echo/Other ] }";
    let narrowed = gateway(&addresses, "", other).await;
    narrowed.client().await.unary(message("x")).await.unwrap();
    assert_eq!(backends[0].seen.requests() + backends[1].seen.requests(), 2);
    narrowed.idle().await;
}
