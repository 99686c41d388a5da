//! Informational responses: all of them, in order, to those who know of such, and nobody else.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use tokio::net::TcpStream;

use super::gateway_to;
use crate::support::gateway::{Gateway, one_service};
use crate::support::http1::{Recorder, Talk, backend, exchange};
use crate::support::{raw, soon};

/// Says `before` in one piece when it has the head, then answers with the body that it gets.
async fn saying(before: &'static str) -> SocketAddr {
    backend(move |mut talk: Talk<TcpStream>| async move {
        while let Some(head) = talk.head().await {
            talk.send(before).await;
            let body = talk.body(&head).await;
            talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
            talk.send(body).await;
        }
    })
    .await
}

const SEVERAL: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n\
    HTTP/1.1 102 Processing\r\nContent-Length: 9\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: b\r\n\r\n";

const SEEN: [&str; 4] = ["100 ", "103 a", "102 ", "103 b"];

const ASKING: &str =
    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";

/// Status and `link` of a head.
fn said(head: &str) -> String {
    let link = head.lines().find_map(|line| line.strip_prefix("link: "));
    format!("{} {}", &head[9..12], link.unwrap_or_default())
}

#[tokio::test]
async fn all_of_one_packet_reach_a_client_of_http1_in_order() {
    let gateway = Gateway::start(&one_service(&[saying(SEVERAL).await], "protocol: http1")).await;
    let mut client = Talk::connect(gateway.front()).await;
    for _ in 0..2 {
        client.send(ASKING).await;
        for expected in SEEN {
            let head = client.head().await.unwrap();
            assert_eq!(said(&head), expected);
            assert!(!head.contains("content-length"), "{head}");
        }
        client.send("abc").await;
        let head = client.head().await.unwrap();
        assert_eq!((said(&head).as_str(), client.body(&head).await), ("200 ", b"abc".to_vec()));
    }
}

/// Sends a request that asks first, and its body once it was told to; what was said before the
/// final response.
async fn asks_over_http2(front: SocketAddr, request: Request<()>) -> Vec<String> {
    let client = raw::connect(front).await;
    let (mut response, mut body) = raw::open(&client, request).await;
    let mut seen = Vec::new();
    loop {
        let next = poll_fn(|cx| response.poll_informational(cx));
        let Some(Ok(head)) = soon("an informational response", next).await else { break };
        let link = head.headers().get("link").map(|link| link.to_str().unwrap());
        seen.push(format!("{} {}", head.status().as_str(), link.unwrap_or_default()));
        if seen.len() == SEEN.len() || head.status() == 110 {
            break;
        }
    }
    body.send_data(Bytes::from_static(b"abc"), true).unwrap();
    let answer = raw::Answer::of(response).await;
    assert_eq!((answer.head.status.as_u16(), &answer.body[..]), (200, &b"abc"[..]));
    seen
}

fn asking() -> Request<()> {
    Request::post("http://h/").header("expect", "100-continue").body(()).unwrap()
}

#[tokio::test]
async fn all_of_one_packet_reach_a_client_of_http2_in_order() {
    let gateway = Gateway::start(&one_service(&[saying(SEVERAL).await], "protocol: http1")).await;
    assert_eq!(asks_over_http2(gateway.front(), asking()).await, SEEN);
}

/// A backend of HTTP/2 that says 100, 103 and 110, and then answers with the body.
async fn saying_over_http2() -> SocketAddr {
    raw::backend(async |(request, mut respond): raw::Exchange| {
        for (status, link) in [(100, ""), (103, "a"), (103, "b"), (110, "")] {
            let head = Response::builder().status(status);
            let head = if link.is_empty() { head } else { head.header("link", link) };
            respond.send_informational(head.body(()).unwrap()).unwrap();
        }
        let grpc = request.headers().contains_key("te");
        let body = raw::collect(&mut request.into_body()).await.unwrap();
        let head = if grpc { raw::ok() } else { Response::new(()) };
        let mut stream = respond.send_response(head, false).unwrap();
        stream.send_data(body.into(), !grpc).unwrap();
        if grpc {
            stream.send_trailers(raw::status(0)).unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn a_client_that_the_gateway_told_to_go_on_is_not_told_twice() {
    let gateway = Gateway::to(&[saying_over_http2().await]).await;
    let expected = ["100 ", "103 a", "103 b", "110 "];
    assert_eq!(asks_over_http2(gateway.front(), asking()).await, expected);
    let mut client = Talk::connect(gateway.front()).await;
    client.send(ASKING).await;
    for expected in expected {
        assert_eq!(said(&client.head().await.unwrap()), expected);
    }
    client.send("abc").await;
    let head = client.head().await.unwrap();
    assert_eq!((said(&head).as_str(), client.body(&head).await), ("200 ", b"abc".to_vec()));
}

#[tokio::test]
async fn a_grpc_call_has_none() {
    let gateway = Gateway::to(&[saying_over_http2().await]).await;
    let client = raw::connect(gateway.front()).await;
    let mut request = raw::grpc("/a.B/C");
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let (mut response, mut body) = raw::open(&client, request).await;
    body.send_data(Bytes::from_static(b"\0\0\0\0\0"), true).unwrap();
    // The final response is there before anything else was.
    let none = poll_fn(|cx| response.poll_informational(cx));
    assert!(soon("the final response", none).await.is_none());
    let answer = raw::Answer::of(response).await;
    assert_eq!(answer.trailer("grpc-status"), Some(&b"0"[..]));
}

#[tokio::test]
async fn a_client_of_http1_0_has_none_and_is_not_spoken_of_as_waiting() {
    let recorder = Recorder::answering(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = gateway_to(&recorder).await;
    let request = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc";
    let answer = exchange(gateway.front(), request).await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    assert!(!recorder.seen().contains("expect"), "{}", recorder.seen());
    let gateway = Gateway::to(&[saying_over_http2().await]).await;
    let answer = exchange(gateway.front(), request).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nabc"), "{answer}");
}

#[tokio::test]
async fn another_protocol_is_for_clients_of_http1_alone() {
    const SWITCHING: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let gateway = gateway_to(&Recorder::answering(SWITCHING).await).await;
    let client = raw::connect(gateway.front()).await;
    let answer = raw::get(&client, Request::get("http://h/").body(()).unwrap()).await;
    assert_eq!(answer.head.status, 502);
    for version in ["1.0", "1.1"] {
        let request = format!("GET / HTTP/{version}\r\nHost: h\r\nUpgrade: x\r\n\r\n");
        let mut client = Talk::connect(gateway.front()).await;
        client.send(request).await;
        assert_eq!(said(&client.head().await.unwrap()), "502 ", "{version}");
    }
}

/// Whatever a backend says before it answers, the answer comes.
#[tokio::test]
async fn without_end_they_are_dropped_and_the_answer_passes() {
    let address = backend(async |mut talk: Talk<TcpStream>| {
        while talk.head().await.is_some() {
            let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(1000));
            for _ in 0..200 {
                talk.send(hint.repeat(100)).await;
            }
            talk.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let gateway = Gateway::start(&one_service(&[address], "protocol: http1")).await;
    let mut client = Talk::connect(gateway.front()).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut hints = 0;
    let head = loop {
        let head = client.head().await.unwrap();
        if !head.starts_with("HTTP/1.1 103 ") {
            break head;
        }
        hints += 1;
    };
    assert!((1..=20_000).contains(&hints), "{hints}");
    assert_eq!((said(&head).as_str(), client.body(&head).await), ("200 ", b"ok".to_vec()));
}
