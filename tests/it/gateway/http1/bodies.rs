//! Bodies of every size, between any two versions.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};

use crate::support::gateway::{Gateway, one_service};
use crate::support::http1::{self, Talk};
use crate::support::pattern;
use crate::support::raw::{self, Answer, Exchange};

const SIZES: [usize; 4] = [0, 1, 70 << 10, 3 << 20];

/// Answers each request with its body.
async fn echo1(mut talk: Talk<tokio::net::TcpStream>) {
    while let Some(head) = talk.head().await {
        let body = talk.body(&head).await;
        // Both framings, by turns.
        if body.len() % 2 == 0 {
            talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
            talk.send(body).await;
        } else {
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            talk.send(chunks(&body)).await;
        }
    }
}

async fn echo2((request, mut respond): Exchange) {
    let body = raw::collect(&mut request.into_body()).await.unwrap();
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(body.into(), true).unwrap();
}

/// A body in chunks of many sizes.
fn chunks(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut rest, mut size) = (body, 1);
    while !rest.is_empty() {
        let (chunk, more) = rest.split_at(size.min(rest.len()));
        out.extend_from_slice(format!("{:X};x=y\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        (rest, size) = (more, size * 3 + 1);
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

async fn pass(backend: SocketAddr, settings: &str) {
    let gateway = Gateway::start(&one_service(&[backend], settings)).await;
    let mut client = Talk::connect(gateway.front()).await;
    for body in SIZES.map(pattern) {
        for chunked in [false, true] {
            let (framing, sent) = match chunked {
                true => ("Transfer-Encoding: chunked".to_owned(), chunks(&body)),
                false => (format!("Content-Length: {}", body.len()), body.clone()),
            };
            client.send(format!("POST /e HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n")).await;
            client.send(sent).await;
            let head = client.head().await.unwrap();
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert!(client.body(&head).await == body, "{} bytes, {framing}", body.len());
        }
    }
    let client = raw::connect(gateway.front()).await;
    for body in SIZES.map(pattern) {
        let request = Request::post("http://h/e").body(()).unwrap();
        let (response, mut stream) = raw::open(&client, request).await;
        stream.send_data(Bytes::from(body.clone()), true).unwrap();
        let answer = Answer::of(response).await;
        assert!(answer.body == body, "{} bytes", body.len());
    }
}

#[tokio::test]
async fn bodies_pass_to_http1_from_both() {
    pass(http1::backend(echo1).await, "protocol: http1").await;
}

#[tokio::test]
async fn bodies_pass_to_http2_from_both() {
    pass(raw::backend(echo2).await, "").await;
}
