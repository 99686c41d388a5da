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
    chunks_of(body, std::iter::successors(Some(1), |size| Some(size * 3 + 1)))
}

fn chunks_of(body: &[u8], sizes: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    for size in sizes {
        let (chunk, more) = rest.split_at(size.min(rest.len()));
        if chunk.is_empty() {
            break;
        }
        out.extend_from_slice(format!("{:X};x=y\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = more;
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

/// Chunks that are handed on one by one and such that are gathered, beyond every window.
#[tokio::test]
async fn long_bodies_in_small_chunks_pass_both_ways() {
    let small = std::iter::repeat_n(900, 10);
    let sizes: [Vec<usize>; 2] = [small.clone().collect(), small.chain([1100, 5000]).collect()];
    for sizes in sizes {
        let cycle = sizes.clone();
        let backend = http1::backend(move |mut talk: Talk<tokio::net::TcpStream>| {
            let sizes = cycle.clone();
            async move {
                while let Some(head) = talk.head().await {
                    let body = talk.body(&head).await;
                    talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                    talk.send(chunks_of(&body, sizes.iter().copied().cycle())).await;
                }
            }
        });
        let settings = "protocol: http1\nlimits: { stream_window: 16KiB }";
        let yaml = one_service(&[backend.await], settings);
        let yaml =
            yaml.replace("127.0.0.1:0 } ]", "127.0.0.1:0, limits: { stream_window: 16KiB } } ]");
        let gateway = Gateway::start(&yaml).await;
        let mut client = Talk::connect(gateway.front()).await;
        let body = pattern(4 << 20);
        client.send("POST /e HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.send(chunks_of(&body, sizes.iter().copied().cycle())).await;
        let head = client.head().await.unwrap();
        assert!(client.body(&head).await == body, "{sizes:?}");
    }
}
