//! Whoever gives up, the other side learns it, and nothing stays behind.

use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::support::backend::Backend;
use crate::support::client::{held, message};
use crate::support::echo::Message;
use crate::support::frames::{self, DATA, Frames, HEADERS, RST_STREAM};
use crate::support::gateway::Gateway;
use crate::support::{eventually, raw, soon};

/// Asks for more messages than anybody reads.
fn endless() -> Message {
    Message { payload: vec![0; 16 << 10], replies: u32::MAX }
}

async fn plain() -> (Backend, Gateway) {
    let backend = Backend::start().await;
    let gateway = Gateway::to(&[backend.address]).await;
    (backend, gateway)
}

async fn active(backend: &Backend, count: usize) {
    eventually("the backend works on so many", async || backend.seen.active() == count).await;
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_backend() {
    let (backend, gateway) = plain().await;
    let mut client = gateway.client().await;
    let call = tokio::spawn({
        let mut client = client.clone();
        async move { client.unary(held()).await }
    });
    active(&backend, 1).await;
    call.abort();
    active(&backend, 0).await;

    // After the head of the response too.
    let mut answers = client.server_stream(endless()).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
    active(&backend, 1).await;
    drop(answers);
    active(&backend, 0).await;
    gateway.idle().await;
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_requests_total", &[("code", "CANCELLED")]), 2.0);
    assert!(page.samples("equipoise_request_duration_seconds").is_empty());
}

#[tokio::test]
async fn the_backend_is_told_cancel() {
    let (heard, mut news) = tokio::sync::mpsc::unbounded_channel();
    let backend = frames::backend(move |mut frames| {
        let heard = heard.clone();
        async move {
            while let Some(frame) = frames.next().await {
                if frame.kind == HEADERS || frame.kind == RST_STREAM {
                    heard.send((frame.kind, frame.payload)).unwrap();
                }
            }
        }
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    client.grpc(1, 0, "/echo.Echo/Bidi", &[]).await;
    assert_eq!(soon("the request", news.recv()).await.unwrap().0, HEADERS);
    client.send(RST_STREAM, 0, 1, &8u32.to_be_bytes()).await;
    let reset = soon("the reset", news.recv()).await.unwrap();
    assert_eq!(reset, (RST_STREAM, 8u32.to_be_bytes().to_vec()));
}

#[tokio::test]
async fn a_connection_that_is_lost_cancels_what_was_on_it() {
    let (backend, gateway) = plain().await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    for id in 0..20 {
        client.grpc(id * 2 + 1, 0, "/echo.Echo/Bidi", &[]).await;
    }
    active(&backend, 20).await;
    client.socket.set_zero_linger().unwrap(); // a reset of TCP, not an end in order
    drop(client);
    active(&backend, 0).await;
    gateway.idle().await;
}

#[tokio::test]
async fn a_backend_that_resets_stops_the_client() {
    let backend = raw::backend(|(request, mut respond)| async move {
        let mut body = request.into_body();
        let _ = body.data().await;
        respond.send_reset(h2::Reason::ENHANCE_YOUR_CALM);
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;
    let (response, mut body) = raw::open(&client, raw::grpc("/echo.Echo/Bidi")).await;
    body.send_data(frames::message(b"x").into(), false).unwrap();
    let error = soon("the reset", response).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
    gateway.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_cancelled_calls_leave_nothing_behind() {
    let (backend, gateway) = plain().await;
    let mut calls = JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(gateway.client().await);
    }
    for number in 0..1000 {
        let mut client = clients[number % 10].clone();
        // Neither call ends by itself.
        calls.spawn(async move {
            if number % 2 == 0 {
                return client.unary(held()).await.map(|_| ());
            }
            let mut answers = client.server_stream(endless()).await?.into_inner();
            answers.message().await?;
            std::future::pending().await
        });
        if number % 100 == 99 {
            eventually("the backend works on all", async || {
                if let Some(ended) = calls.try_join_next() {
                    panic!("a call has ended: {ended:?}");
                }
                backend.seen.active() == 100
            })
            .await;
            calls.shutdown().await; // drops the calls, which cancels them
            active(&backend, 0).await;
        }
    }
    gateway.idle().await;
    let client = &mut clients[0];
    client.unary(message("still here")).await.unwrap();
    let backends = gateway.control().await.backends().await;
    assert_eq!(backends[0].in_flight, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_conversations_go_on_side_by_side() {
    let (backend, gateway) = plain().await;
    let clients = [gateway.client().await, gateway.client().await];
    let mut talks = JoinSet::new();
    let all_open = std::sync::Arc::new(tokio::sync::Barrier::new(200));
    for number in 0..200u32 {
        let mut client = clients[number as usize % 2].clone();
        let all_open = std::sync::Arc::clone(&all_open);
        talks.spawn(async move {
            let (said, heard) = tokio::sync::mpsc::channel(1);
            let mut answers = client.bidi(ReceiverStream::new(heard)).await.unwrap().into_inner();
            all_open.wait().await;
            for round in 0..50u32 {
                let payload = [number.to_be_bytes(), round.to_be_bytes()].concat();
                said.send(message(payload.clone())).await.unwrap();
                assert_eq!(answers.message().await.unwrap().unwrap().payload, payload);
            }
            drop(said);
            assert!(answers.next().await.is_none());
        });
    }
    while let Some(talk) = soon("all have talked", talks.join_next()).await {
        talk.unwrap();
    }
    assert_eq!((backend.seen.requests(), backend.seen.active()), (200, 0));
    gateway.idle().await;
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_requests_total", &[("code", "OK")]), 200.0);
}

/// The client has sent all, the backend is slow to read it, and then nobody wants it.
#[tokio::test]
async fn what_waits_for_a_slow_backend_goes_with_the_call() {
    let backend = frames::backend(|mut frames| async move {
        // Opens no window beyond the first 64 KiB.
        while frames.next().await.is_some() {}
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    client.grpc(1, 0, "/echo.Echo/ClientStream", &[]).await;
    for _ in 0..12 {
        client.send(DATA, 0, 1, &vec![0; 16 << 10]).await;
    }
    eventually("it is in flight", async || {
        gateway.metrics().await.find("equipoise_backend_in_flight", &[]) == Some(1.0)
    })
    .await;
    client.send(RST_STREAM, 0, 1, &8u32.to_be_bytes()).await;
    gateway.idle().await;
}
