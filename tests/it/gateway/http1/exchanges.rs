//! What HTTP/1.1 has beyond a request and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::Response;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::gateway_to;
use crate::support::eventually;
use crate::support::gateway::{Gateway, one_service};
use crate::support::http1::{Recorder, Talk, backend, exchange};
use crate::support::raw;

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Key: k\r\n\r\n";

/// Agrees to the upgrade, and echoes five bytes at a time until they are `quit!` or the end.
async fn websocket(mut talk: Talk<TcpStream>) {
    let head = talk.head().await.unwrap();
    assert!(head.contains("connection: upgrade\nupgrade: websocket\n"), "{head}");
    assert!(head.contains("sec-websocket-key: k\n"), "{head}");
    talk.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n").await;
    talk.send("Upgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\nhello").await;
    let mut last = Vec::new();
    while last != b"quit!" && last != b"leave" {
        last = talk.exact(5).await;
        talk.send(&last).await;
    }
    if last == b"leave" {
        assert_eq!(talk.rest().await, b"", "the client has ended its side");
        talk.send("bye").await;
    }
}

async fn upgraded(gateway: &Gateway) -> Talk<TcpStream> {
    let mut client = Talk::connect(gateway.front()).await;
    // What comes at once waits until the backend has agreed.
    client.send(format!("{UPGRADE}early")).await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\n"), "{head}");
    assert!(head.contains("connection: upgrade\nupgrade: websocket\n"), "{head}");
    assert!(head.contains("sec-websocket-accept: a\n"), "{head}");
    assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
    assert_eq!(client.exact(10).await, b"helloearly");
    for word in [&b"GET /"[..], b"\r\n\r\n\r", b"\0\xff\x80ab"] {
        client.send(word).await;
        assert_eq!(client.exact(5).await, word);
    }
    client
}

#[tokio::test]
async fn another_protocol_passes_both_ways_until_either_side_ends_it() {
    let address = backend(websocket).await;
    let gateway = Gateway::start(&one_service(&[address], "protocol: http1")).await;
    let mut client = upgraded(&gateway).await;
    client.send("quit!").await;
    assert_eq!(client.rest().await, b"quit!");
    drop(client);

    let mut client = upgraded(&gateway).await;
    client.send("leave").await;
    client.socket.shutdown().await.unwrap();
    assert_eq!(client.rest().await, b"leavebye");
    drop(client);
    gateway.idle().await;
}

const ASKING: &str =
    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";

async fn asks_first(gateway: &Gateway) {
    let mut client = Talk::connect(gateway.front()).await;
    for _ in 0..2 {
        client.send(ASKING).await;
        assert_eq!(client.head().await.unwrap(), "HTTP/1.1 100 Continue\n");
        client.send("abc").await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(client.body(&head).await, b"abc");
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_answered_by_the_backend() {
    let address = backend(async |mut talk: Talk<TcpStream>| {
        while let Some(head) = talk.head().await {
            assert!(head.contains("expect: 100-continue\n"), "{head}");
            talk.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            let body = talk.body(&head).await;
            talk.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").await;
            talk.send(body).await;
        }
    })
    .await;
    asks_first(&Gateway::start(&one_service(&[address], "protocol: http1")).await).await;
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_answered_for_http2() {
    let address = raw::backend(async |(request, mut respond): raw::Exchange| {
        let body = raw::collect(&mut request.into_body()).await.unwrap();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(body.into(), true).unwrap();
    })
    .await;
    asks_first(&Gateway::to(&[address]).await).await;
}

/// A backend that counts its connections, and on each of them answers `most` requests.
async fn counting(most: usize) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = backend(move |mut talk: Talk<TcpStream>| {
        counted.fetch_add(1, SeqCst);
        async move {
            for _ in 0..most {
                if talk.head().await.is_none() {
                    return;
                }
                talk.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
            // Gone without a word, with the next request on its way.
            talk.head().await;
            SockRef::from(&talk.socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
    })
    .await;
    (address, connections)
}

async fn gets(client: &mut Talk<TcpStream>) {
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert_eq!(
        (head.as_str(), client.body(&head).await),
        ("HTTP/1.1 200 OK\ncontent-length: 2\n", b"ok".to_vec())
    );
}

#[tokio::test]
async fn a_backends_connection_is_used_again() {
    let (address, connections) = counting(usize::MAX).await;
    let gateway = Gateway::start(&one_service(&[address], "protocol: http1")).await;
    let mut client = Talk::connect(gateway.front()).await;
    for _ in 0..10 {
        gets(&mut client).await;
    }
    assert_eq!(connections.load(SeqCst), 1);
}

#[tokio::test]
async fn a_request_that_met_a_closing_connection_is_sent_again() {
    let (address, connections) = counting(1).await;
    // Of several workers another one might reconnect too.
    let yaml = one_service(&[address], "protocol: http1").replace("workers: 2", "workers: 1");
    let gateway = Gateway::start(&yaml).await;
    let mut client = Talk::connect(gateway.front()).await;
    gets(&mut client).await;
    gets(&mut client).await;
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn a_response_that_breaks_off_is_not_taken_for_a_whole_one() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ] {
        let address = backend(move |mut talk: Talk<TcpStream>| async move {
            talk.head().await;
            talk.send(answer).await;
        })
        .await;
        let gateway = Gateway::start(&one_service(&[address], "protocol: http1")).await;
        let told = exchange(gateway.front(), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(told.contains("content-length: 5\r\n") || !told.ends_with("0\r\n\r\n"), "{told}");
        assert!(!told.contains("abc"), "{told}");
    }
}

#[tokio::test]
async fn a_backend_that_breaks_the_protocol_is_answered_for() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"nonsense\r\n\r\n",
    ] {
        let recorder = Recorder::answering(answer).await;
        let gateway = gateway_to(&recorder).await;
        let request =
            b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let told = exchange(gateway.front(), request).await;
        assert!(told.starts_with("HTTP/1.1 502 "), "{told}");
    }
}

#[tokio::test]
async fn a_client_that_goes_takes_its_request_with_it() {
    let gone = Arc::new(AtomicUsize::new(0));
    let begun = Arc::new(AtomicUsize::new(0));
    let (gone_there, begun_there) = (Arc::clone(&gone), Arc::clone(&begun));
    let address = backend(move |mut talk: Talk<TcpStream>| {
        let (gone, begun) = (Arc::clone(&gone_there), Arc::clone(&begun_there));
        async move {
            talk.head().await;
            begun.fetch_add(1, SeqCst);
            talk.rest().await;
            gone.fetch_add(1, SeqCst);
        }
    })
    .await;
    let gateway = Gateway::start(&one_service(&[address], "protocol: http1")).await;
    let mut client = Talk::connect(gateway.front()).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    eventually("the request is there", async || begun.load(SeqCst) == 1).await;
    assert_eq!(gone.load(SeqCst), 0);
    // That it sends nothing more does not say that it wants no answer.
    SockRef::from(&client.socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    eventually("the backend's connection is closed", async || gone.load(SeqCst) == 1).await;
    gateway.idle().await;
}
