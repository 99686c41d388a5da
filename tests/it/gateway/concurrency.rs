//! Limits of the requests in flight, and what becomes of those beyond.

use std::net::SocketAddr;
use std::time::Duration;

use tonic::{Code, Status};

use crate::support::backend::Backend;
use crate::support::client::{self, Client, held, message, with};
use crate::support::gateway::{Gateway, PORTS, one_service};
use crate::support::{PATIENCE, eventually, http1};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

async fn gateway(endpoints: &[SocketAddr], limits: &str) -> Gateway {
    Gateway::start(&yaml(endpoints, limits)).await
}

fn yaml(endpoints: &[SocketAddr], limits: &str) -> String {
    one_service(endpoints, &format!("concurrency: {limits}"))
}

/// A call that the backend holds, on its own.
fn hold(client: &Client) -> tokio::task::JoinHandle<Result<SocketAddr, Status>> {
    let mut client = client.clone();
    tokio::spawn(async move { client.unary(held()).await.map(|answer| client::backend(&answer)) })
}

async fn gauge(gateway: &Gateway, of: &str) -> f64 {
    gateway.metrics().await.value(&format!("equipoise_concurrency_{of}"), &[])
}

#[tokio::test]
async fn what_is_beyond_the_limit_is_refused_with_a_time_to_come_back() {
    let backend = Backend::start().await;
    let gateway = gateway(&[backend.address], "{ max_requests: 2, queue: 0 }").await;
    let mut client = gateway.client().await;
    let calls = [hold(&client), hold(&client)];
    eventually("both are there", async || backend.seen.active() == 2).await;
    let refused = client.unary(message("x")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let pushback: u64 = refused
        .metadata()
        .get("grpc-retry-pushback-ms")
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((100..=20_000).contains(&pushback), "{pushback}");
    assert_eq!([gauge(&gateway, "calls").await, gauge(&gateway, "limit").await], [2.0, 2.0]);
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_rejected_total", &[("reason", "limited")]), 1.0);
    backend.release();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    client.unary(message("x")).await.unwrap();
    eventually("none is in flight", async || gauge(&gateway, "calls").await == 0.0).await;
    gateway.idle().await;
}

#[tokio::test]
async fn over_http_it_is_429_with_retry_after_or_503_by_setting() {
    for (refuse_with, status) in [("resource_exhausted", "429"), ("unavailable", "503")] {
        let backend = Backend::start().await;
        let limits = format!("{{ max_requests: 1, queue: 0, refuse_with: {refuse_with} }}");
        let gateway = gateway(&[backend.address], &limits).await;
        let client = gateway.client().await;
        let call = hold(&client);
        eventually("it is there", async || backend.seen.active() == 1).await;
        let reply = http1::exchange(gateway.front(), GET).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
        assert!(reply.to_lowercase().contains("\r\nretry-after: 1\r\n"), "{reply}");
        let refused = client.clone().unary(message("x")).await.unwrap_err();
        let code = if status == "503" { Code::Unavailable } else { Code::ResourceExhausted };
        assert_eq!(refused.code(), code);
        backend.release();
        call.await.unwrap().unwrap();
        gateway.idle().await;
    }
}

#[tokio::test]
async fn who_waits_is_served_when_another_has_ended_or_refused_when_its_time_is_over() {
    let backend = Backend::start().await;
    let limits = "{ max_requests: 1, queue: 1, queue_timeout: 60s }";
    let mut gateway = gateway(&[backend.address], limits).await;
    let client = gateway.client().await;
    let first = hold(&client);
    eventually("it is there", async || backend.seen.active() == 1).await;
    let second = hold(&client);
    eventually("it waits", async || gauge(&gateway, "waiting").await == 1.0).await;
    let third = client.clone().unary(message("x")).await.unwrap_err();
    assert_eq!(third.code(), Code::ResourceExhausted, "the queue is full");
    assert_eq!(backend.seen.requests(), 1);
    backend.release();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();

    let backend = Backend::start().await;
    let limits = "{ max_requests: 1, queue: 9, queue_timeout: 20ms }";
    assert!(gateway.reload(&yaml(&[backend.address], limits)).await);
    let first = hold(&client);
    eventually("it is there", async || backend.seen.active() == 1).await;
    let late = client.clone().unary(message("x")).await.unwrap_err();
    assert_eq!(late.code(), Code::ResourceExhausted, "{late}");
    backend.release();
    first.await.unwrap().unwrap();
    gateway.idle().await;
}

#[tokio::test]
async fn a_raised_limit_lets_those_in_that_wait() {
    let backend = Backend::start().await;
    let limits = "{ max_requests: 1, queue_timeout: 60s }";
    let mut gateway = gateway(&[backend.address], limits).await;
    let client = gateway.client().await;
    let mut calls: Vec<_> = (0..3).map(|_| hold(&client)).collect();
    eventually("two wait", async || gauge(&gateway, "waiting").await == 2.0).await;
    let raised = "{ max_requests: 2, queue_timeout: 60s }";
    assert!(gateway.reload(&yaml(&[backend.address], raised)).await);
    eventually("one more is there", async || backend.seen.active() == 2).await;
    let none = one_service(&[backend.address], "");
    assert!(gateway.reload(&none).await);
    eventually("all are there", async || backend.seen.active() == 3).await;
    backend.release();
    for call in calls.drain(..) {
        call.await.unwrap().unwrap();
    }
    gateway.idle().await;
}

#[tokio::test]
async fn a_call_goes_to_the_backend_that_has_room() {
    let backends = [Backend::start().await, Backend::start().await, Backend::start().await];
    let all: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    // A key leads all to the same one, while it has room.
    let settings = "balancer: { policy: consistent_hash, key: { header: x-user } }\n\
                    concurrency: { per_endpoint: 2, queue: 0 }";
    let gateway = Gateway::start(&one_service(&all, settings)).await;
    let client = gateway.client().await;
    let calls: Vec<_> = (0..6).map(|_| hold(&client)).collect();
    eventually("all are there", async || backends.iter().all(|backend| backend.seen.active() == 2))
        .await;
    assert_eq!(gauge(&gateway, "limit").await, 6.0);
    let refused = client.clone().unary(with("x", "x-user", "me")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    backends.iter().for_each(Backend::release);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    gateway.idle().await;
}

#[tokio::test]
async fn streams_are_counted_apart() {
    let backend = Backend::start().await;
    let limits = "{ max_requests: 1, max_streams: 1, queue: 0 }";
    let streams = "streams: [ echo.Echo/Bidi ]\n";
    let yaml = one_service(&[backend.address], &format!("{streams}concurrency: {limits}"));
    let gateway = Gateway::start(&yaml).await;
    let mut client = gateway.client().await;
    let open = |mut client: Client| async move {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let messages = tokio_stream::wrappers::ReceiverStream::new(receiver);
        sender.send(message("x")).await.unwrap();
        let mut answers = client.bidi(messages).await?.into_inner();
        answers.message().await?;
        Ok::<_, Status>((sender, answers))
    };
    let stream = open(client.clone()).await.unwrap();
    assert_eq!(open(client.clone()).await.unwrap_err().code(), Code::ResourceExhausted);
    client.unary(message("x")).await.unwrap();
    assert_eq!([gauge(&gateway, "streams").await, gauge(&gateway, "calls").await], [1.0, 0.0]);
    drop(stream);
    eventually("it has ended", async || gauge(&gateway, "streams").await == 0.0).await;
    open(client.clone()).await.unwrap();
    gateway.idle().await;
}

#[tokio::test]
async fn a_call_that_becomes_a_stream_makes_room_for_calls() {
    let backend = Backend::start().await;
    let gateway = gateway(&[backend.address], "{ max_requests: 1, queue_timeout: 60s }").await;
    let mut client = gateway.client().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let messages = tokio_stream::wrappers::ReceiverStream::new(receiver);
    sender.send(message("x")).await.unwrap();
    let mut answers = client.bidi(messages).await.unwrap().into_inner();
    answers.message().await.unwrap();
    sender.send(message("x")).await.unwrap();
    answers.message().await.unwrap();
    client.unary(message("x")).await.unwrap();
    drop((sender, answers));
    eventually("it has ended", async || gauge(&gateway, "streams").await == 0.0).await;
    gateway.idle().await;
}

#[tokio::test]
async fn none_is_lost_between_workers_and_none_is_beyond_the_limit() {
    let backend = Backend::start().await;
    let limits = "{ max_requests: 3, queue: 1000, queue_timeout: 60s }";
    let yaml = yaml(&[backend.address], limits).replace("workers: 2", "workers: 3");
    let gateway = Gateway::start(&yaml).await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let mut client = gateway.client().await;
        callers.spawn(async move {
            for _ in 0..50 {
                client.unary(message("x")).await.unwrap();
            }
        });
    }
    let mut most = 0;
    while !callers.is_empty() {
        most = most.max(backend.seen.active());
        while callers.try_join_next().is_some_and(|ended| ended.is_ok()) {}
        tokio::task::yield_now().await;
    }
    assert!(most <= 3, "{most} were in flight");
    eventually("none is in flight", async || gauge(&gateway, "calls").await == 0.0).await;
    assert_eq!(gauge(&gateway, "waiting").await, 0.0);
    gateway.idle().await;
}

#[tokio::test]
async fn who_gives_up_while_it_waits_leaves_no_trace() {
    let backend = Backend::start().await;
    let limits = "{ max_requests: 1, queue_timeout: 60s }";
    let gateway = gateway(&[backend.address], limits).await;
    let mut client = gateway.client().await;
    let first = hold(&client);
    eventually("it is there", async || backend.seen.active() == 1).await;
    let mut short = held();
    short.set_timeout(Duration::from_millis(30));
    let late = client.unary(short).await.unwrap_err();
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late}");
    let gone = hold(&client);
    eventually("it waits", async || gauge(&gateway, "waiting").await == 1.0).await;
    gone.abort();
    eventually("nobody waits", async || gauge(&gateway, "waiting").await == 0.0).await;
    backend.release();
    first.await.unwrap().unwrap();
    client.unary(message("x")).await.unwrap();
    assert_eq!(backend.seen.requests(), 2, "nobody sent what was given up");
    gateway.idle().await;
}

#[tokio::test]
async fn who_cannot_be_served_before_its_deadline_is_refused_at_once() {
    let backend = Backend::start().await;
    let limits = "{ max_requests: 1, queue: 100, queue_timeout: 60s }";
    let gateway = gateway(&[backend.address], limits).await;
    let mut client = gateway.client().await;
    // So long do calls take here.
    for _ in 0..3 {
        let call = hold(&client);
        eventually("it is there", async || backend.seen.active() == 1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        backend.release();
        call.await.unwrap().unwrap();
        backend.seen.open.send_replace(false);
    }
    let first = hold(&client);
    eventually("it is there", async || backend.seen.active() == 1).await;
    let mut hasty = held();
    hasty.set_timeout(Duration::from_millis(150));
    let refused = client.unary(hasty).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let mut patient = held();
    patient.set_timeout(PATIENCE);
    let second = tokio::spawn(async move { client.unary(patient).await });
    eventually("it waits", async || gauge(&gateway, "waiting").await == 1.0).await;
    backend.release();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    gateway.idle().await;
}

#[tokio::test]
async fn who_floods_loses_what_is_beyond_its_share_and_nobody_else() {
    let backend = Backend::start().await;
    let limits = "{ max_requests: 1, queue: 20, queue_timeout: 60s, key: { header: x-tenant } }";
    let gateway = gateway(&[backend.address], limits).await;
    let client = gateway.client().await;
    let send = |tenant: &'static str| {
        let mut client = client.clone();
        let mut request = with("x", "x-tenant", tenant);
        request.metadata_mut().insert("x-hold", "1".parse().unwrap());
        tokio::spawn(async move { client.unary(request).await.map(|_| ()) })
    };
    let flood: Vec<_> = (0..60).map(|_| send("large")).collect();
    eventually("the rest is refused", async || {
        let page = gateway.metrics().await;
        let refused = page.find("equipoise_rejected_total", &[("reason", "limited")]);
        let waiting = page.value("equipoise_concurrency_waiting", &[]);
        refused.unwrap_or_default() + waiting == 59.0
    })
    .await;
    let small = send("small");
    backend.release();
    small.await.unwrap().unwrap();
    let mut served = 0;
    for call in flood {
        served += usize::from(call.await.unwrap().is_ok());
    }
    assert!((10..60).contains(&served), "{served} of the flood were served");
    gateway.idle().await;
}

#[tokio::test]
async fn at_the_edge_nobody_says_who_he_is() {
    let backend = Backend::start().await;
    let service = format!(
        "services:\n  echo:\n    endpoints: [ {{ address: {} }} ]\n    \
         concurrency: {{ max_requests: 1, queue: 9, queue_timeout: 60s, key: {{ header: x-tenant }} }}\n\
         routes:\n  - match: {{}}\n    service: echo\n",
        backend.address
    );
    let ports = PORTS.replacen("127.0.0.1:0 }", "127.0.0.1:0, profile: edge }", 1);
    let gateway = Gateway::start(&format!("{ports}{service}")).await;
    let client = gateway.client().await;
    let first = hold(&client);
    eventually("it is there", async || backend.seen.active() == 1).await;
    // With queues of their own, so many callers would fill the queue.
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let calls: Vec<_> = names
        .into_iter()
        .map(|name| {
            let mut client = client.clone();
            let request = with("x", "x-tenant", name);
            tokio::spawn(async move { client.unary(request).await.is_ok() })
        })
        .collect();
    eventually("some are refused", async || {
        let page = gateway.metrics().await;
        let refused = page.find("equipoise_rejected_total", &[("reason", "limited")]);
        refused.unwrap_or_default() + gauge(&gateway, "waiting").await == 12.0
    })
    .await;
    backend.release();
    first.await.unwrap().unwrap();
    for call in calls {
        call.await.unwrap();
    }
    gateway.idle().await;
}
