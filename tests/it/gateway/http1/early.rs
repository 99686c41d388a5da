//! Answers that come before the request is whole: what is left of it is no next request, and what
//! comes behind it is.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::frames::{
    DATA, END_STREAM, Frame, Frames, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::support::gateway::{Gateway, PORTS};
use crate::support::http1::{Talk, backend};

/// Answers `/early` before it reads the body, and everything else behind it.
async fn hasty(mut talk: Talk<TcpStream>) {
    while let Some(head) = talk.head().await {
        if head.contains("/early ") {
            talk.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nwho?").await;
            talk.rest().await;
            return;
        }
        let body = talk.body(&head).await;
        talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        talk.send(body).await;
    }
}

/// A gateway with answers of its own for `/none` and `/moved`.
async fn gateway_to(backend: SocketAddr) -> Gateway {
    Gateway::start(&format!(
        "{PORTS}services: {{ a: {{ protocol: http1, connect_timeout: 60s, pending_timeout: 60s,\n  \
         endpoints: [ {{ address: {backend} }} ] }} }}\nroutes:\n  \
         - {{ match: {{ path: /early }}, service: a }}\n  \
         - {{ match: {{ path: /next }}, service: a }}\n  \
         - {{ match: {{ path: /moved }}, redirect: {{ path: /next }} }}\n"
    ))
    .await
}

const EARLY: [(&str, &str); 3] = [("/early", "401"), ("/none", "404"), ("/moved", "302")];

fn chunks(size: usize, number: usize) -> String {
    format!("{size:x}\r\n{}\r\n", "x".repeat(size)).repeat(number)
}

#[tokio::test]
async fn the_rest_of_the_request_is_dropped_and_the_next_one_served() {
    let gateway = gateway_to(backend(hasty).await).await;
    let long = format!("Content-Length: {}", 250 << 10);
    let rest = "GET /early HTTP/1.1\r\n\r\n".repeat(20_000);
    for (path, status) in EARLY {
        for (framing, begun, rest) in [
            ("Content-Length: 5", "ab", "cde".to_owned()),
            (&long, "", rest[..250 << 10].to_owned()),
        ] {
            let mut client = Talk::connect(gateway.front()).await;
            let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{begun}");
            client.send(head).await;
            let head = client.head().await.unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
            assert!(!head.contains("connection: close"), "{path} {framing}: {head}");
            client.body(&head).await;
            client.send(rest).await;
            client.send("POST /next HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok").await;
            let head = client.head().await.expect("the next request is answered");
            assert!(head.starts_with("HTTP/1.1 200 "), "{path} {framing}: {head}");
            assert_eq!(client.body(&head).await, b"ok");
        }
    }
    gateway.idle().await;
}

/// The client reads only when it has sent all that it has, and is at it for longer than a second.
#[tokio::test]
async fn a_client_in_the_midst_of_a_long_request_gets_the_answer_when_it_has_sent_it() {
    let gateway = gateway_to(backend(hasty).await).await;
    let tasks = EARLY.map(|(path, status)| {
        let front = gateway.front();
        tokio::spawn(async move {
            let mut client = Talk::connect(front).await;
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n");
            client.send(head).await;
            for _ in 0..12 {
                tokio::time::sleep(Duration::from_millis(250)).await;
                client.socket.write_all(&[b'x'; 64 << 10]).await.expect("it may go on sending");
            }
            let head = client.head().await.unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
            assert!(head.contains("connection: close\n"), "{path}: {head}");
            client.body(&head).await;
            assert_eq!(client.rest().await, b"", "and then the connection ends");
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn of_a_request_without_end_nothing_becomes_another_one() {
    let gateway = gateway_to(backend(hasty).await).await;
    let mut client = Talk::connect(gateway.front()).await;
    client.send("POST /none HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert!(head.contains("connection: close\n"), "nobody knows how much is to come: {head}");
    client.body(&head).await;
    client.send(chunks(1000, 1000)).await;
    client.send("0\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.rest().await, b"", "the connection ends in good order, without an answer");
}

/// The gateway finds that it can send no more of the body before it has read the answer.
#[tokio::test]
async fn the_answer_of_a_backend_that_does_not_want_the_body_is_not_lost() {
    let address = backend(async |mut talk: Talk<TcpStream>| {
        talk.head().await;
        talk.exact(100_000).await;
        let answer =
            "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch";
        talk.send(answer).await;
        // Closed with unread bytes: a reset.
        SockRef::from(&talk.socket).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    let gateway = gateway_to(address).await;
    for _ in 0..30 {
        let mut client = Talk::connect(gateway.front()).await;
        client.send("POST /next HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n").await;
        client.send(vec![b'x'; 4_000_000]).await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        assert_eq!(client.body(&head).await, b"much");
    }
    gateway.idle().await;
}

/// Of HTTP/2 too: the client has no window for the answer before it has sent everything.
#[tokio::test]
async fn a_client_of_http2_that_reads_late_may_send_all_of_its_request() {
    const BODY: usize = 5 << 20;
    const ANSWER: usize = 200_000;
    let address = backend(async |mut talk: Talk<TcpStream>| {
        talk.head().await;
        talk.send(format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {ANSWER}\r\n\r\n")).await;
        talk.send(vec![b'y'; ANSWER]).await;
        talk.rest().await;
    })
    .await;
    let gateway = gateway_to(address).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    let fields =
        [(":method", "POST"), (":scheme", "http"), (":authority", "h"), (":path", "/early")];
    client.head(1, 0, &fields).await;
    let (mut stream, mut connection, mut left, mut read) = (65_535, 65_535, BODY, 0);
    while left > 0 {
        let size = left.min(stream).min(connection).min(16 << 10);
        if size > 0 {
            (stream, connection, left) = (stream - size, connection - size, left - size);
            client.send(DATA, if left == 0 { END_STREAM } else { 0 }, 1, &vec![b'x'; size]).await;
            continue;
        }
        let frame = client.next().await.expect("the connection goes on");
        match (frame.kind, frame.stream) {
            (WINDOW_UPDATE, 0) => connection += frame.word() as usize,
            (WINDOW_UPDATE, _) => stream += frame.word() as usize,
            (DATA, _) => read += frame.payload.len(),
            (SETTINGS, _) => stream += setting(&frame, 4).map_or(0, |window| window - 65_535),
            (kind, _) => assert_ne!(kind, RST_STREAM, "not before it is answered"),
        }
    }
    for stream in [0, 1] {
        client.send(WINDOW_UPDATE, 0, stream, &(2u32 << 20).to_be_bytes()).await;
    }
    let frames = client.stream(1).await;
    read +=
        frames.iter().filter(|frame| frame.kind == DATA).map(|f| f.payload.len()).sum::<usize>();
    assert_eq!(read, ANSWER);
}

/// The value of a setting, if the frame has it.
fn setting(frame: &Frame, id: u16) -> Option<usize> {
    let entries = frame.payload.chunks(6);
    let mut found = entries.filter(|entry| entry[..2] == id.to_be_bytes());
    found.next().map(|entry| u32::from_be_bytes(entry[2..].try_into().unwrap()) as usize)
}
