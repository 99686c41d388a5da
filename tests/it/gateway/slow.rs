//! A reader that stops reading stalls its own stream and nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use prost::Message as _;
use tokio::sync::mpsc;

use crate::support::backend::Backend;
use crate::support::echo::Message;
use crate::support::frames::{
    self, ACK, DATA, Frames, HEADERS, PING, SETTINGS, WINDOW_UPDATE, message,
};
use crate::support::gateway::{Gateway, one_service, scrape};
use crate::support::process::Process;
use crate::support::{eventually, raw, soon};

/// One worker with one connection to the backend, so that all streams share both connections.
const SHARED: &str = "max_connections: 1";

fn shared(backend: &Backend, listener: &str) -> String {
    let yaml = one_service(&[backend.address], SHARED).replace("workers: 2", "workers: 1");
    yaml.replace("127.0.0.1:0 } ]", &format!("127.0.0.1:0, limits: {{ {listener} }} }} ]"))
}

/// A client whose connection window is never the bottleneck, and whose streams' is 64 KiB.
async fn client(front: SocketAddr) -> SendRequest<Bytes> {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(64 << 10).initial_connection_window_size(256 << 20);
    raw::connect_with(front, &builder).await
}

/// Asks for 64 MiB in messages of 64 KiB.
async fn stall(client: &SendRequest<Bytes>) -> ResponseFuture {
    let (response, mut body) = raw::open(client, raw::grpc("/echo.Echo/ServerStream")).await;
    let ask = Message { payload: vec![7; 64 << 10], replies: 1024 };
    body.send_data(message(&ask.encode_to_vec()).into(), true).unwrap();
    response
}

async fn call(client: &SendRequest<Bytes>) {
    let (response, mut body) = raw::open(client, raw::grpc("/echo.Echo/Unary")).await;
    let said = message(&Message { payload: vec![1; 1000], replies: 0 }.encode_to_vec());
    body.send_data(said.clone().into(), true).unwrap();
    let answer = raw::Answer::of(response).await;
    assert_eq!(answer.trailer("grpc-status"), Some(&b"0"[..]));
    assert_eq!(answer.body, said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_stalled_streams_leave_the_others_and_the_memory_alone() {
    let backend = Backend::start().await;
    let gateway = Process::start(&shared(&backend, "")).await;
    let resident =
        async || scrape(gateway.metrics).await.value("process_resident_memory_bytes", &[]);
    let client = client(gateway.front).await;
    for _ in 0..200 {
        call(&client).await;
    }
    let before = resident().await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        let response = stall(&client).await.await.unwrap();
        assert_eq!(response.status(), 200);
        stalled.push(response); // and never reads it
    }
    for _ in 0..500 {
        call(&client).await;
    }
    assert_eq!(backend.seen.active(), 50, "the stalled ones are still there");
    let grown = resident().await - before;
    // Of 3.2 GiB that were asked for, as much of each may be here as its reader has been sent.
    assert!(grown < f64::from(32 << 20), "{grown} bytes more");

    // A stream that is read again gets all that it is due.
    let mut body = stalled.pop().unwrap().into_body();
    let read = raw::collect(&mut body).await.unwrap();
    assert!(read.len() > 64 << 20);
    drop((stalled, client));
    eventually("the rest is given up", async || backend.seen.active() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_the_slow_are_reset_and_the_quick_go_on() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&shared(&backend, "connection_buffer: 1MiB")).await;
    let client = client(gateway.front()).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(stall(&client).await);
    }
    eventually("few are left", async || backend.seen.active() < 10).await;
    for _ in 0..100 {
        call(&client).await;
    }
    assert!(backend.seen.active() > 0, "no more than need be are reset");
    let mut reset = 0;
    for response in stalled {
        // Its window and what the client's library holds come first: then the reset, if any.
        let Ok(response) = response.await else {
            reset += 1;
            continue;
        };
        let mut body = response.into_body();
        match raw::collect(&mut body).await {
            Ok(read) => assert!(read.len() > 64 << 20),
            Err(error) => {
                assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
                reset += 1;
            }
        }
    }
    assert!((11..20).contains(&reset), "{reset}");
    gateway.idle().await;
}

/// SETTINGS_INITIAL_WINDOW_SIZE, and its value where nothing is said.
const INITIAL_WINDOW: u16 = 4;
const DEFAULT_WINDOW: u32 = 65_535;

const OK: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/grpc")];

/// Rounds to the gateway and back without a grant after which none is to be expected.
const ROUNDS: usize = 200;

/// What a backend may send, and has sent: on one stream, or on its connection.
#[derive(Default)]
struct Account {
    granted: usize,
    sent: usize,
}

/// A backend that answers each request with 16 MiB on its stream, as fast as it may. When it has so many
/// requests and may send no more it says how much that was, on all streams of a connection together.
async fn eager(requests: u32, told: mpsc::UnboundedSender<usize>) -> SocketAddr {
    frames::backend(move |mut frames| {
        let told = told.clone();
        async move {
            let (mut base, mut streams) = (DEFAULT_WINDOW as usize, BTreeMap::new());
            let mut all = Account { granted: base, sent: 0 };
            let mut silent = 0;
            while let Some(frame) = frames.next().await {
                match frame.kind {
                    SETTINGS if frame.flags & ACK == 0 => {
                        for entry in frame.payload.chunks(6) {
                            let (name, value) = entry.split_at(2);
                            if name == INITIAL_WINDOW.to_be_bytes() {
                                base = u32::from_be_bytes(value.try_into().unwrap()) as usize;
                            }
                        }
                    }
                    HEADERS => {
                        streams.insert(frame.stream, Account::default());
                        frames.head(frame.stream, 0, OK).await;
                    }
                    WINDOW_UPDATE => {
                        let stream = streams.get_mut(&frame.stream);
                        stream.unwrap_or(&mut all).granted += frame.word() as usize;
                    }
                    _ => {}
                }
                silent += usize::from(frame.kind == PING && streams.len() == requests as usize);
                for (id, stream) in &mut streams {
                    while let room @ 1.. = (base + stream.granted)
                        .min(16 << 20)
                        .saturating_sub(stream.sent)
                        .min(all.granted - all.sent)
                        .min(16 << 10)
                    {
                        frames.send(DATA, 0, *id, &vec![0; room]).await;
                        (stream.sent, all.sent, silent) = (stream.sent + room, all.sent + room, 0);
                    }
                }
                if silent == ROUNDS {
                    told.send(all.sent).unwrap();
                }
                // One at a time is under way, from the first request on.
                if frame.kind == PING || (frame.kind == HEADERS && streams.len() == 1) {
                    frames.send(PING, 0, 0, &[0; 8]).await;
                }
            }
        }
    })
    .await
}

/// How much a backend sends for a client that takes so much, counted on the stream, on each of so many,
/// and reads nothing more.
async fn sent_ahead_of(window: u32, streams: u32) -> usize {
    let (told, mut news) = mpsc::unbounded_channel();
    let settings = "max_connections: 1\nlimits: { pings: 1000000 }";
    let yaml = one_service(&[eager(streams, told).await], settings);
    let gateway = Gateway::start(&yaml).await;
    let mut client = Frames::connect(gateway.front(), &[(INITIAL_WINDOW, window)]).await;
    client.send(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes()).await;
    for nth in 0..streams {
        client.grpc(1 + 2 * nth, 0, "/echo.Echo/Stream", &[]).await;
    }
    soon("the backend may send no more", news.recv()).await.unwrap()
}

#[tokio::test]
async fn a_backend_is_not_asked_for_what_nobody_takes() {
    assert_eq!(sent_ahead_of(0, 1).await, 256 << 10);
    let sent = sent_ahead_of(90_000, 1).await;
    assert!((90_000..=90_000 + (256 << 10)).contains(&sent), "{sent}");
}

/// Of 50 MiB that so many windows come to, no more is sent than may wait before backends are to send
/// less, than a connection's window, which may be under way until they hear of it, and than a narrow
/// window on each stream.
#[tokio::test]
async fn backends_are_not_asked_for_much_if_many_take_nothing() {
    let sent = sent_ahead_of(0, 200).await;
    assert!(sent <= (2 << 20) + (4 << 20) + 200 * (16 << 10), "{sent}");
    assert!(sent >= 200 * (16 << 10), "{sent}");
}

/// All windows are wide open, only the socket is not read from: neither the system nor the gateway
/// takes more for it than some hundreds of kilobytes.
#[tokio::test]
async fn the_system_is_not_lent_megabytes_for_a_client_that_reads_nothing() {
    let sent = sent_ahead_of((1 << 31) - 1, 1).await;
    assert!(sent <= 1 << 20, "{sent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_does_not_read_a_stream_stalls_that_one_alone() {
    let backend = raw::backend(|(request, mut respond)| async move {
        let (head, mut body) = request.into_parts();
        if head.uri.path() == "/stall" {
            return std::future::pending().await;
        }
        let said = raw::collect(&mut body).await.unwrap();
        let mut stream = respond.send_response(raw::ok(), false).unwrap();
        stream.send_data(said.into(), false).unwrap();
        stream.send_trailers(raw::status(0)).unwrap();
    })
    .await;
    let yaml = one_service(&[backend], SHARED).replace("workers: 2", "workers: 1");
    let gateway = Gateway::start(&yaml).await;
    let client = raw::connect(gateway.front()).await;
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let (response, mut body) = raw::open(&client, raw::grpc("/stall")).await;
        body.send_data(vec![0; 8 << 20].into(), false).unwrap();
        stalled.push((response, body));
    }
    for _ in 0..300 {
        call(&client).await;
    }
    drop((stalled, client));
    gateway.idle().await;
}
