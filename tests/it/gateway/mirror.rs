//! Copies of requests for a second service: they arrive, and whatever becomes of them, the client
//! gets its answer as if there were none.

use std::net::SocketAddr;

use http::Request;

use crate::support::backend::Backend;
use crate::support::client::{backend, held, message};
use crate::support::gateway::{Gateway, PORTS};
use crate::support::{eventually, pattern, raw};

/// A gateway with everything going to `echo`, and copies to `shadow`; `mirror` are more settings.
async fn mirrored(echo: SocketAddr, shadow: SocketAddr, mirror: &str) -> Gateway {
    let service = |name: &str, address: SocketAddr| {
        format!(
            "  {name}: {{ connect_timeout: 60s, pending_timeout: 60s, \
             endpoints: [ {{ address: {address} }} ] }}\n"
        )
    };
    let (echo, shadow) = (service("echo", echo), service("shadow", shadow));
    Gateway::start(&format!(
        "{PORTS}services:\n{echo}{shadow}routes:\n  - service: echo\n    \
         mirror: {{ service: shadow{mirror} }}\n"
    ))
    .await
}

/// Waits until so many copies have ended like this.
async fn copies(gateway: &Gateway, result: &str, expected: f64) {
    eventually(&format!("{expected} copies {result}"), async || {
        let page = gateway.metrics().await;
        let samples = page.samples("equipoise_mirrored_total");
        let ended = samples.iter().filter(|sample| sample.labels["result"] == result);
        ended.map(|sample| sample.value).sum::<f64>() == expected
    })
    .await;
}

#[tokio::test]
async fn every_request_arrives_at_the_mirror_too() {
    let (echo, shadow) = (Backend::start().await, Backend::start().await);
    let gateway = mirrored(echo.address, shadow.address, "").await;
    let mut client = gateway.client().await;
    for _ in 0..5 {
        let answer = client.unary(message("hello")).await.unwrap();
        assert_eq!(backend(&answer), echo.address);
        assert_eq!(answer.get_ref().payload, b"hello");
    }
    let stream = tokio_stream::iter((0..10).map(|n| message(vec![n; 1000])));
    let whole = client.client_stream(stream).await.unwrap().into_inner();
    assert_eq!((whole.payload.len(), whole.replies), (10_000, 10));
    copies(&gateway, "answered", 6.0).await;
    assert_eq!((echo.seen.requests(), shadow.seen.requests()), (6, 6));
    gateway.idle().await;
    // Requests of the mirror's backend like any others.
    let page = gateway.metrics().await;
    let labels = [("service", "shadow"), ("code", "OK")];
    assert_eq!(page.value("equipoise_requests_total", &labels), 6.0);
}

/// What the mirror gets is what the backend gets: the body byte for byte, and the changed head.
#[tokio::test]
async fn the_copy_is_the_request_as_the_backend_gets_it() {
    let (sender, mut copies) = tokio::sync::mpsc::channel(1);
    let shadow = raw::backend(move |(request, mut respond)| {
        let sender = sender.clone();
        async move {
            let (head, mut body) = request.into_parts();
            let body = raw::collect(&mut body).await.unwrap();
            respond.send_response(http::Response::new(()), true).unwrap();
            sender.send((head, body)).await.unwrap();
        }
    })
    .await;
    let echo = raw::backend(|(request, mut respond)| async move {
        raw::collect(&mut request.into_body()).await.unwrap();
        respond.send_response(http::Response::new(()), true).unwrap();
    })
    .await;
    let yaml = format!(
        "{PORTS}services:\n  echo: {{ endpoints: [ {{ address: {echo} }} ] }}\n  \
         shadow: {{ endpoints: [ {{ address: {shadow} }} ] }}\nroutes:\n  - service: echo\n    \
         mirror: {{ service: shadow }}\n    rewrite: {{ path: /new }}\n    \
         request_headers: {{ set: {{ x-a: b }} }}\n"
    );
    let gateway = Gateway::start(&yaml).await;
    let client = raw::connect(gateway.front()).await;
    let request = Request::post("http://test/old?q").body(()).unwrap();
    let (response, mut body) = raw::open(&client, request).await;
    for piece in pattern(30_000).chunks(7_000) {
        body.send_data(piece.to_vec().into(), false).unwrap();
    }
    body.send_data(bytes::Bytes::new(), true).unwrap();
    assert_eq!(raw::Answer::of(response).await.head.status, 200);
    let (head, body) = crate::support::soon("the copy", copies.recv()).await.unwrap();
    assert_eq!(head.uri.path_and_query().unwrap(), "/new?q");
    assert_eq!(head.headers["x-a"], "b");
    assert!(body == pattern(30_000));
}

#[tokio::test]
async fn a_mirror_that_is_not_there_harms_nothing() {
    let echo = Backend::start().await;
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nowhere.local_addr().unwrap();
    drop(nowhere);
    let gateway = mirrored(echo.address, address, "").await;
    let mut client = gateway.client().await;
    for _ in 0..10 {
        client.unary(message("hello")).await.unwrap();
    }
    copies(&gateway, "failed", 10.0).await;
}

/// The mirror takes the head and then not a byte: the body goes to the backend all the same.
#[tokio::test]
async fn a_mirror_that_stalls_is_given_up() {
    let echo = Backend::start().await;
    let shadow = raw::backend(|(request, respond)| async move {
        let _kept = (request, respond); // never read, never answered
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = mirrored(echo.address, shadow, ", buffer: 16KiB").await;
    let mut client = gateway.client().await;
    let large = pattern(20 << 20); // far more than the mirror's windows
    let answer = client.unary(message(large.clone())).await.unwrap();
    assert!(answer.into_inner().payload == large);
    copies(&gateway, "slow", 1.0).await;
    client.unary(message("next")).await.unwrap();
}

/// The mirror does not answer: no more copies are under way than may be, the requests go on.
#[tokio::test]
async fn only_so_many_copies_are_under_way() {
    let (echo, shadow) = (Backend::start().await, Backend::start().await);
    echo.release();
    let gateway = mirrored(echo.address, shadow.address, ", max_in_flight: 3").await;
    let mut client = gateway.client().await; // one connection, so one worker
    for _ in 0..10 {
        client.unary(held()).await.unwrap();
    }
    copies(&gateway, "crowded", 7.0).await;
    eventually("the copies are held", async || shadow.seen.requests() == 3).await;
    shadow.release();
    copies(&gateway, "answered", 3.0).await;
    client.unary(message("now there is room")).await.unwrap();
    copies(&gateway, "answered", 4.0).await;
}

#[tokio::test]
async fn a_request_that_is_given_up_takes_its_copy_along() {
    let (echo, shadow) = (Backend::start().await, Backend::start().await);
    let gateway = mirrored(echo.address, shadow.address, "").await;
    let mut client = gateway.client().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let call = tokio::spawn(async move { client.client_stream(stream).await });
    sender.send(message("first")).await.unwrap();
    eventually("both have it", async || echo.seen.active() + shadow.seen.active() == 2).await;
    call.abort();
    copies(&gateway, "abandoned", 1.0).await;
    eventually("neither has it", async || echo.seen.active() + shadow.seen.active() == 0).await;
}

#[tokio::test]
async fn a_part_of_the_requests_is_copied() {
    let (echo, shadow) = (Backend::start().await, Backend::start().await);
    let gateway = mirrored(echo.address, shadow.address, ", percent: 20").await;
    let mut client = gateway.client().await;
    for _ in 0..1000 {
        client.unary(message("x")).await.unwrap();
    }
    gateway.idle().await;
    let page = gateway.metrics().await;
    let copies = page.samples("equipoise_mirrored_total");
    let copies: f64 = copies.iter().map(|sample| sample.value).sum();
    // Six standard deviations either side.
    assert!((124.0..=276.0).contains(&copies), "{copies}");
    assert_eq!(shadow.seen.requests() as f64, copies);
}
