//! Trailers that one side sends and the other does not take for their size.

use std::net::SocketAddr;

use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::frames::{self, DATA, END_STREAM, Frames, HEADERS, RST_STREAM, SETTINGS};
use crate::support::gateway::{Gateway, one_service};
use crate::support::raw::{self, Answer};
use crate::support::soon;

const MAX_HEADER_LIST_SIZE: u16 = 6;

/// Status 9 with details of so many bytes, after a body.
async fn detailed(details: usize) -> SocketAddr {
    raw::backend(move |(_, mut respond)| async move {
        let mut body = respond.send_response(raw::ok(), false).unwrap();
        body.send_data(frames::message(b"so far").into(), false).unwrap();
        let mut trailers = raw::status(9);
        trailers.insert("grpc-status-details-bin", "d".repeat(details).parse().unwrap());
        body.send_trailers(trailers).unwrap();
    })
    .await
}

/// A client that takes header lists of so many bytes.
async fn client(gateway: &Gateway, header_list: u32) -> SendRequest<bytes::Bytes> {
    let mut builder = h2::client::Builder::new();
    builder.max_header_list_size(header_list);
    let client = raw::connect_with(gateway.front(), &builder).await;
    // The gateway knows of it once it has answered something sent later.
    let plain = Request::get("http://test/plain").body(()).unwrap();
    raw::get(&client, plain).await;
    client
}

fn code(trailers: Option<&HeaderMap>) -> (Option<&str>, Option<&str>) {
    let get = |name| trailers?.get(name)?.to_str().ok();
    (get("grpc-status"), get("grpc-message"))
}

#[tokio::test]
async fn grpc_clients_read_that_their_trailers_were_too_large() {
    let gateway = Gateway::to(&[detailed(13_000).await]).await;
    let words = "response trailers are too large for the client";
    // The last one takes a status, and no words.
    for (takes, said) in [(8_192, Some(words)), (1_000, Some(words)), (110, None)] {
        let client = client(&gateway, takes).await;
        let answer = raw::get(&client, raw::grpc("/shop.Orders/Put")).await;
        assert_eq!(answer.body, frames::message(b"so far"), "what came before counts");
        assert_eq!(code(answer.trailers.as_ref()), (Some("8"), said));
        assert_eq!(answer.trailers.unwrap().len(), if said.is_some() { 2 } else { 1 });
    }
    let client = client(&gateway, 1 << 20).await;
    let answer = raw::get(&client, raw::grpc("/shop.Orders/Put")).await;
    assert_eq!(answer.trailer("grpc-status"), Some(&b"9"[..]));
    assert_eq!(answer.trailer("grpc-status-details-bin").map(<[u8]>::len), Some(13_000));
    // What is counted is what clients were told.
    gateway.idle().await;
    let page = gateway.metrics().await;
    let count = |code| page.value("equipoise_requests_total", &[("code", code)]);
    assert_eq!((count("RESOURCE_EXHAUSTED"), count("FAILED_PRECONDITION")), (3.0, 1.0));
}

#[tokio::test]
async fn a_client_that_takes_not_even_a_status_reads_it_from_the_reset() {
    let gateway = Gateway::to(&[detailed(13_000).await]).await;
    let mut client = Frames::connect(gateway.front(), &[(MAX_HEADER_LIST_SIZE, 1 << 20)]).await;
    client.grpc(1, END_STREAM, "/shop.Orders/Put", &[]).await;
    client.stream(1).await;
    let mut small = MAX_HEADER_LIST_SIZE.to_be_bytes().to_vec();
    small.extend(40u32.to_be_bytes());
    client.send(SETTINGS, 0, 0, &small).await;
    client.grpc(3, END_STREAM, "/shop.Orders/Put", &[]).await;
    let frames = client.stream(3).await;
    let last = frames.last().unwrap();
    assert_eq!((last.kind, last.word()), (RST_STREAM, 11), "ENHANCE_YOUR_CALM, RESOURCE_EXHAUSTED");
}

#[tokio::test]
async fn of_plain_http_the_body_counts() {
    let gateway = Gateway::to(&[detailed(13_000).await]).await;
    let client = client(&gateway, 8_192).await;
    let answer = raw::get(&client, Request::get("http://test/plain").body(()).unwrap()).await;
    assert_eq!((answer.head.status.as_u16(), answer.trailers), (200, None));
    assert_eq!(answer.body, frames::message(b"so far"));
    gateway.idle().await;
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_requests_total", &[("code", "200")]), 2.0);
}

/// A backend by HTTP/1.1 that answers with a trailer of so many bytes.
async fn chunked(trailer: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while let Ok(byte) = socket.read_u8().await {
                    request.push(byte);
                    if request.ends_with(b"\r\n\r\n") {
                        request.clear();
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                             4\r\nbody\r\n0\r\nX-Trailer: {}\r\n\r\n",
                            "t".repeat(trailer)
                        );
                        socket.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn trailers_of_chunked_bodies_are_no_larger() {
    let backend = chunked(9_000).await;
    let gateway = Gateway::start(&one_service(&[backend], "protocol: http1")).await;
    for (takes, trailers) in [(8_192, 0), (1 << 20, 1)] {
        let client = client(&gateway, takes).await;
        let request = Request::get("http://test/").header("te", "trailers").body(()).unwrap();
        let answer: Answer = raw::get(&client, request).await;
        assert_eq!(answer.body, b"body");
        assert_eq!(answer.trailers.map_or(0, |trailers| trailers.len()), trailers);
    }
}

#[tokio::test]
async fn a_request_ends_without_the_trailers_that_its_backend_does_not_take() {
    let (heard, mut news) = tokio::sync::mpsc::unbounded_channel();
    let backend = frames::backend(move |mut frames| {
        let heard = heard.clone();
        async move {
            let mut small = MAX_HEADER_LIST_SIZE.to_be_bytes().to_vec();
            small.extend(1_000u32.to_be_bytes());
            frames.send(SETTINGS, 0, 0, &small).await;
            while let Some(frame) = frames.next().await {
                if frame.kind == HEADERS && frame.flags & END_STREAM == 0 {
                    let head = [(":status", "200"), ("content-type", "application/grpc")];
                    frames.head(frame.stream, 0, &head).await;
                }
                if frame.stream > 0 {
                    heard.send((frame.kind, frame.flags & END_STREAM != 0)).unwrap();
                }
            }
        }
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    client.grpc(1, 0, "/shop.Orders/Put", &[]).await;
    client.find(|frame| frame.kind == HEADERS).await;
    client.send(DATA, 0, 1, &frames::message(b"all")).await;
    client.head(1, END_STREAM, &[("x-checksum", &"c".repeat(2_000))]).await;
    assert_eq!(soon("the head", news.recv()).await, Some((HEADERS, false)));
    let mut last = (HEADERS, false);
    while !last.1 {
        last = soon("the request ends", news.recv()).await.unwrap();
        assert_eq!(last.0, DATA);
    }
}
