//! Messages that break off: nobody takes what came of them for the whole.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::ends::{tls_client, tls_gateway};
use super::gateway_to;
use crate::support::certificates::Authority;
use crate::support::gateway::{Gateway, one_service};
use crate::support::http1::{Recorder, Talk, backend};
use crate::support::process::Process;
use crate::support::{raw, soon};

/// A backend that sends `answer` and then closes, or resets, the connection.
async fn breaking(answer: &'static str, reset: bool) -> SocketAddr {
    backend(move |mut talk: Talk<TcpStream>| async move {
        talk.head().await;
        talk.send(answer).await;
        if reset {
            tokio::time::sleep(Duration::from_millis(50)).await; // until the answer was read
            SockRef::from(&talk.socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
    })
    .await
}

/// What a client is told that reads to the end: what came, and how it ended.
async fn read(front: SocketAddr, version: &str) -> (String, std::io::Result<usize>) {
    let mut client = TcpStream::connect(front).await.unwrap();
    let request = format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut came = Vec::new();
    let end = soon("the end of the connection", client.read_to_end(&mut came)).await;
    (String::from_utf8_lossy(&came).into_owned(), end)
}

fn is_reset(end: &std::io::Result<usize>) -> bool {
    end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn a_client_is_told_by_a_reset_that_a_body_is_not_whole() {
    for (answer, reset) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nx\r\n", false),
        ("HTTP/1.1 200 OK\r\n\r\nab", true),
        ("HTTP/1.0 200 OK\r\n\r\nab", true),
    ] {
        let address = breaking(answer, reset).await;
        let gateway = Gateway::start(&one_service(&[address], "protocol: http1")).await;
        for version in ["1.0", "1.1"] {
            let (came, end) = read(gateway.front(), version).await;
            assert!(is_reset(&end), "{answer:?} {version}: {came:?} {end:?}");
        }
    }
}

#[tokio::test]
async fn under_tls_a_body_that_is_not_whole_has_no_regular_end() {
    let authority = Authority::new();
    for (answer, reset, whole) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", false, false),
        ("HTTP/1.1 200 OK\r\n\r\nab", true, false),
        ("HTTP/1.1 200 OK\r\n\r\nab", false, true),
    ] {
        let gateway = tls_gateway(&authority, breaking(answer, reset).await).await;
        let mut client = tls_client(&authority, gateway.front(), &[]).await;
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        // Without a close_notify the end of the connection is an error.
        let end = soon("the end", client.read_to_end(&mut Vec::new())).await;
        assert_eq!(end.is_ok(), whole, "{answer:?}: {end:?}");
    }
}

#[tokio::test]
async fn a_reset_of_a_backend_of_http2_is_a_reset() {
    let address = raw::backend(async |(_, mut respond): raw::Exchange| {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data("ab".into(), false).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
    })
    .await;
    let gateway = Gateway::to(&[address]).await;
    for version in ["1.0", "1.1"] {
        let (came, end) = read(gateway.front(), version).await;
        assert!(is_reset(&end), "{version}: {came:?} {end:?}");
    }
}

#[tokio::test]
async fn a_whole_body_still_ends_in_good_order() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nab",
    ] {
        let address = breaking(answer, false).await;
        let gateway = Gateway::start(&one_service(&[address], "protocol: http1")).await;
        let (came, end) = read(gateway.front(), "1.0").await;
        assert!(end.is_ok() && came.ends_with("\r\n\r\nab"), "{answer:?}: {came:?} {end:?}");
    }
}

/// A backend that begins a response which ends with the connection, and goes on for ever.
async fn endless() -> SocketAddr {
    backend(async |mut talk: Talk<TcpStream>| {
        talk.head().await;
        talk.send("HTTP/1.1 200 OK\r\n\r\nab").await;
        std::future::pending().await
    })
    .await
}

#[tokio::test]
async fn a_gateway_that_is_killed_or_cuts_connections_leaves_no_body_that_looks_whole() {
    let yaml = one_service(&[endless().await], "protocol: http1");
    for signal in ["-KILL", "-TERM"] {
        let gateway = Process::start(&format!("drain_timeout: 0ms\n{yaml}")).await;
        let mut client = Talk::connect(gateway.front).await;
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200 "));
        assert_eq!(client.exact(2).await, b"ab");
        gateway.signal(signal);
        let end = soon("the end", client.socket.read(&mut [0; 9])).await;
        assert!(is_reset(&end), "{signal}: {end:?}");
    }
}

#[tokio::test]
async fn another_protocol_that_breaks_off_on_one_side_does_on_the_other() {
    let switching =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nab";
    let gateway =
        Gateway::start(&one_service(&[breaking(switching, true).await], "protocol: http1")).await;
    let mut client = TcpStream::connect(gateway.front()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    client.write_all(request).await.unwrap();
    let end = soon("the end", client.read_to_end(&mut Vec::new())).await;
    assert!(is_reset(&end), "{end:?}");
}

#[tokio::test]
async fn a_backend_is_told_by_a_reset_that_a_request_is_not_whole() {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let ended = Arc::new(ended);
    let address = backend(move |mut talk: Talk<TcpStream>| {
        let ended = Arc::clone(&ended);
        async move {
            talk.head().await;
            talk.exact(2).await;
            let _ = ended.send(None);
            let end = talk.socket.read(&mut [0; 9]).await;
            let _ = ended.send(Some(is_reset(&end)));
        }
    })
    .await;
    let gateway = Gateway::start(&one_service(&[address], "protocol: http1")).await;
    for framing in ["Content-Length: 5\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"]
    {
        let mut client = Talk::connect(gateway.front()).await;
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{framing}")).await;
        assert_eq!(soon("the request", ends.recv()).await, Some(None));
        drop(client);
        // One chunk's bytes may be followed by what ends its line.
        assert_eq!(soon("its end", ends.recv()).await, Some(Some(true)), "{framing}");
    }
}

/// A client that ends its side behind its requests asks nothing more, and still wants the answers.
#[tokio::test]
async fn a_client_that_ends_its_side_gets_all_of_its_answers() {
    let address = backend(async |mut talk: Talk<TcpStream>| {
        while let Some(head) = talk.head().await {
            let body = talk.body(&head).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            let size = if head.contains("/large ") { 6 << 20 } else { body.len() };
            talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")).await;
            talk.send(if size == body.len() { body } else { vec![b'y'; size] }).await;
        }
    })
    .await;
    let gateway = Gateway::start(&one_service(&[address], "protocol: http1")).await;
    let mut client = Talk::connect(gateway.front()).await;
    client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\n").await;
    client.send("Content-Length: 3\r\n\r\nabcGET /large HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.socket.shutdown().await.unwrap();
    for expected in [0, 3, 6 << 20] {
        let head = client.head().await.expect("each request is answered");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(client.body(&head).await.len(), expected);
    }
    assert_eq!(client.rest().await, b"");

    let mut client = Talk::connect(gateway.front()).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n").await;
    let (mut reads, mut writes) = client.socket.into_split();
    let sent = tokio::spawn(async move {
        writes.write_all(&vec![b'z'; 4_000_000]).await.unwrap();
        writes.shutdown().await.unwrap();
    });
    let mut came = Vec::new();
    soon("the answer", reads.read_to_end(&mut came)).await.unwrap();
    assert_eq!(came.iter().filter(|byte| **byte == b'z').count(), 4_000_000);
    sent.await.unwrap();
}

#[tokio::test]
async fn a_request_that_ends_before_its_end_is_none() {
    let recorder = Recorder::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let gateway = gateway_to(&recorder).await;
    for half in ["GET / HTTP/1.1\r\nHo", "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHo"] {
        let mut client = Talk::connect(gateway.front()).await;
        client.send(half).await;
        client.socket.shutdown().await.unwrap();
        let came = client.rest().await;
        let answers = String::from_utf8_lossy(&came).matches("HTTP/1.1 200").count();
        assert_eq!(answers, half.matches("\r\n\r\n").count(), "{half}");
    }
    assert!(!recorder.seen().contains("/2"));
}

/// A client that is gone altogether is found out although nobody reads from it any more.
#[tokio::test]
async fn a_client_that_ended_its_side_and_is_gone_takes_its_request_with_it() {
    let (begun, mut begins) = mpsc::unbounded_channel();
    let begun = Arc::new(begun);
    let address = backend(move |mut talk: Talk<TcpStream>| {
        let begun = Arc::clone(&begun);
        async move {
            talk.head().await;
            let _ = begun.send(());
            talk.rest().await;
            let _ = begun.send(());
        }
    })
    .await;
    let gateway = Gateway::start(&one_service(&[address], "protocol: http1")).await;
    let mut client = Talk::connect(gateway.front()).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.socket.shutdown().await.unwrap();
    soon("the request", begins.recv()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(begins.try_recv().is_err(), "it is still wanted");
    SockRef::from(&client.socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    soon("its end", begins.recv()).await.unwrap();
    gateway.idle().await;
}
