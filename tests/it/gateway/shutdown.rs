//! SIGTERM to the real process.

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use crate::support::backend::Backend;
use crate::support::client::{self, held, message};
use crate::support::frames::{self, ACK, DATA, END_STREAM, Frames, GOAWAY, HEADERS, PING};
use crate::support::gateway::one_service;
use crate::support::http1::{Recorder, Talk};
use crate::support::process::Process;
use crate::support::{eventually, soon};

const NO_ERROR: [u8; 4] = [0; 4];

/// Sends a whole request that the backend answers when it is told to.
async fn hold(frames: &mut Frames, id: u32) {
    frames.grpc(id, 0, "/echo.Echo/Unary", &[("x-hold", "1")]).await;
    frames.send(DATA, END_STREAM, id, &frames::message(b"")).await;
}

#[tokio::test]
async fn it_goes_in_two_phases_and_finishes_what_is_in_flight() {
    let backend = Backend::start().await;
    let mut gateway = Process::start(&one_service(&[backend.address], "")).await;
    let mut client = client::connect(gateway.front).await;
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let mut client = client.clone();
        calls.spawn(async move { client.unary(held()).await.map(|_| ()) });
    }
    let (said, heard) = tokio::sync::mpsc::channel(1);
    let mut talk = client.bidi(ReceiverStream::new(heard)).await.unwrap().into_inner();
    let mut frames = Frames::connect(gateway.front, &[]).await;
    hold(&mut frames, 1).await;
    eventually("all are there", async || backend.seen.active() == 12).await;

    gateway.terminate();
    let first = frames.find(|frame| frame.kind == GOAWAY).await;
    assert_eq!((first.word(), &first.payload[4..8]), ((1 << 31) - 1, &NO_ERROR[..]));
    // A request that was on its way when the client heard of it is served.
    hold(&mut frames, 3).await;
    let ping = frames.find(|frame| frame.kind == PING).await;
    assert!(!ping.is(PING, ACK));
    let last = frames.find(|frame| frame.kind == GOAWAY).await;
    assert_eq!((last.word(), &last.payload[4..8]), (3, &NO_ERROR[..]));
    eventually("new connections are refused", async || {
        TcpStream::connect(gateway.front).await.is_err()
    })
    .await;

    said.send(message("still talking")).await.unwrap();
    let answer = soon("an answer", talk.message()).await.unwrap().unwrap();
    assert_eq!(answer.payload, b"still talking");
    drop(said);
    assert!(soon("the talk ends", talk.message()).await.unwrap().is_none());
    backend.release();
    while let Some(call) = soon("held calls end", calls.join_next()).await {
        call.unwrap().unwrap();
    }
    let mut ended = Vec::new();
    while let Some(frame) = frames.next().await {
        if frame.is(HEADERS, END_STREAM) {
            ended.push(frame.stream);
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 3]);
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_call_that_got_through_is_lost() {
    let backend = Backend::start().await;
    let mut gateway = Process::start(&one_service(&[backend.address], "")).await;
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let mut client = client::connect(gateway.front).await;
        callers.spawn(async move {
            let mut answered = 0;
            loop {
                match client.unary(message("x")).await {
                    Ok(_) => answered += 1,
                    Err(status) => return (answered, status),
                }
            }
        });
    }
    eventually("the load runs", async || backend.seen.requests() > 500).await;
    gateway.terminate();
    let mut answered = 0;
    while let Some(caller) = soon("the callers end", callers.join_next()).await {
        let (calls, status) = caller.unwrap();
        answered += calls;
        // Nobody listens any more, or the client's library had not yet sent the request: whether
        // all others were answered shows below.
        let status = format!("{status:?}");
        let goaway = "GoAway(b\"\", NO_ERROR, Remote)";
        let unsent = ["ConnectError", "Canceled, \"connection closed\"", goaway];
        assert!(unsent.iter().any(|why| status.contains(why)), "{status}");
    }
    assert_eq!(answered, backend.seen.requests());
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_is_in_flight_after_the_drain_timeout_ends_with_a_status() {
    let backend = Backend::start().await;
    let yaml = one_service(&[backend.address], "") + "drain_timeout: 1s\n";
    let mut gateway = Process::start(&yaml).await;
    let mut client = client::connect(gateway.front).await;
    let mut talker = client.clone();
    let (said, heard) = tokio::sync::mpsc::channel(1);
    let mut talk = talker.bidi(ReceiverStream::new(heard)).await.unwrap().into_inner();
    said.send(message("hello")).await.unwrap();
    assert_eq!(soon("an answer", talk.message()).await.unwrap().unwrap().payload, b"hello");
    let stuck = tokio::spawn(async move { client.unary(held()).await });
    let mut frames = Frames::connect(gateway.front, &[]).await;
    hold(&mut frames, 1).await;
    eventually("all are there", async || backend.seen.active() == 3).await;
    gateway.terminate();

    let call = soon("the call ends", stuck).await.unwrap().unwrap_err();
    let talk = soon("the talk ends", talk.message()).await.unwrap_err();
    for status in [call, talk] {
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
        assert_eq!(status.message(), "the gateway is going down");
    }
    let head = frames.find(|frame| frame.kind == HEADERS).await;
    assert!(head.is(HEADERS, END_STREAM), "nobody is left to wait for a reset");
    assert_eq!(gateway.ended().await.code(), Some(0));
    eventually("the backend is told", async || backend.seen.active() == 0).await;
}

#[tokio::test]
async fn http1_is_told_of_the_end_where_no_answer_has_begun() {
    let silent = Recorder::answering(b"").await;
    let half = Recorder::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    for (backend, told) in [(silent, true), (half, false)] {
        let yaml = one_service(&[backend.address], "protocol: http1") + "drain_timeout: 1s\n";
        let mut gateway = Process::start(&yaml).await;
        let mut client = Talk::connect(gateway.front).await;
        client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        eventually("it is there", async || backend.seen().contains("GET / ")).await;
        gateway.terminate();
        let heard = String::from_utf8(client.rest().await).unwrap();
        assert_eq!(heard.starts_with("HTTP/1.1 503 "), told, "{heard}");
        let last = if told { "the gateway is going down" } else { "half" };
        assert!(heard.contains(last), "{heard}");
        assert_eq!(gateway.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn idle_it_ends_at_once() {
    let backend = Backend::start().await;
    let mut gateway = Process::start(&one_service(&[backend.address], "")).await;
    let mut client = client::connect(gateway.front).await;
    client.unary(message("x")).await.unwrap();
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
}
