//! What clients and backends say to each other comes through as it was said.

use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use tokio_stream::StreamExt as _;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use crate::support::backend::{Backend, Options};
use crate::support::client::{message, with};
use crate::support::echo::Message;
use crate::support::gateway::{Gateway, one_service};
use crate::support::raw::Answer;
use crate::support::{pattern, raw, soon};

async fn plain() -> (Backend, Gateway) {
    let backend = Backend::start().await;
    let gateway = Gateway::to(&[backend.address]).await;
    (backend, gateway)
}

#[tokio::test]
async fn every_kind_of_call_passes() {
    let (backend, gateway) = plain().await;
    let mut client = gateway.client().await;
    let answer = client.unary(message("one")).await.unwrap().into_inner();
    assert_eq!(answer.payload, b"one");

    let parts = (0..100u8).map(|i| message([i]));
    let answer = client.client_stream(tokio_stream::iter(parts)).await.unwrap().into_inner();
    assert_eq!(answer.payload, (0..100).collect::<Vec<u8>>());
    assert_eq!(answer.replies, 100);

    let request = Message { payload: b"many".into(), replies: 1000 };
    let mut answers = client.server_stream(request).await.unwrap().into_inner();
    for number in 0..1000 {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!((answer.replies, &answer.payload[..]), (number, &b"many"[..]));
    }
    assert!(answers.message().await.unwrap().is_none());
    assert_eq!(backend.seen.requests(), 3);
    gateway.idle().await;
}

#[tokio::test]
async fn messages_of_a_conversation_pass_at_once() {
    let (_backend, gateway) = plain().await;
    let mut client = gateway.client().await;
    let (said, heard) = tokio::sync::mpsc::channel(1);
    let outbound = tokio_stream::wrappers::ReceiverStream::new(heard);
    let mut answers = client.bidi(outbound).await.unwrap().into_inner();
    for number in 0..200u32 {
        // The next one is said only when this one was answered: nothing may be kept back.
        said.send(message(number.to_be_bytes())).await.unwrap();
        let answer = soon("an answer", answers.message()).await.unwrap().unwrap();
        assert_eq!(answer.payload, number.to_be_bytes());
    }
    drop(said);
    assert!(soon("the end", answers.message()).await.unwrap().is_none());
}

/// Sends `body` in pieces that are small, large and in between, by turns.
fn send_in_pieces(stream: &mut SendStream<Bytes>, mut body: Bytes) {
    for len in [1, 100, 1023, 90, 1024, 5, 20_000, 300].into_iter().cycle() {
        let piece = body.split_to(len.min(body.len()));
        stream.send_data(piece, body.is_empty()).unwrap();
        if body.is_empty() {
            return;
        }
    }
}

#[tokio::test]
async fn pieces_of_all_sizes_keep_their_order_both_ways() {
    let backend = raw::backend(|(request, mut respond)| async move {
        let mut answer = respond.send_response(raw::ok(), false).unwrap();
        let body = raw::collect(&mut request.into_body()).await.unwrap();
        send_in_pieces(&mut answer, body.into());
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;
    let mut calls = Vec::new();
    for number in 1..=6 {
        let (response, mut body) = raw::open(&client, raw::grpc("/echo.Echo/Bidi")).await;
        let said = Bytes::from(pattern(100_000 * number));
        calls.push((tokio::spawn(Answer::of(response)), said.clone()));
        send_in_pieces(&mut body, said);
    }
    for (answer, said) in calls {
        assert!(answer.await.unwrap().body == said, "{} bytes", said.len());
    }
}

#[tokio::test]
async fn metadata_keep_their_bytes_and_order() {
    let (_backend, gateway) = plain().await;
    let mut client = gateway.client().await;
    let mut request = Request::new(message("x"));
    let metadata = request.metadata_mut();
    for value in ["b", "a", "c", "a"] {
        metadata.append("x-several", value.parse().unwrap());
    }
    let binary: Vec<u8> = (0..=255).collect();
    metadata.insert_bin("x-binary-bin", MetadataValue::from_bytes(&binary));
    metadata.append_bin("x-binary-bin", MetadataValue::from_bytes(&[]));
    let answer = client.unary(request).await.unwrap();
    let several: Vec<_> = answer.metadata().get_all("x-several").iter().collect();
    assert_eq!(several, ["b", "a", "c", "a"]);
    let binaries = answer.metadata().get_all_bin("x-binary-bin").iter();
    let binaries: Vec<_> = binaries.map(|value| value.to_bytes().unwrap()).collect();
    assert_eq!(binaries, [binary, vec![]]);
}

#[tokio::test]
async fn a_status_passes_with_message_details_and_metadata() {
    let (_backend, gateway) = plain().await;
    let mut client = gateway.client().await;
    for code in 1..=16 {
        let status = client.unary(with("x", "x-status", &code.to_string())).await.unwrap_err();
        assert_eq!(status.code(), Code::from_i32(code));
        assert_eq!(status.message(), "asked for: \u{fc} \u{20ac} 100 %\n");
        assert_eq!(status.details(), [0, 1, 254, 255]);
        assert_eq!(status.metadata().get("x-status").unwrap(), &*code.to_string());
    }
}

#[tokio::test]
async fn trailers_only_stays_so_and_trailers_come_after_the_body() {
    let backend = raw::backend(|(request, mut respond)| async move {
        let mut head = raw::ok();
        head.headers_mut().insert("x-head", "1".parse().unwrap());
        if request.uri().path() == "/echo.Echo/Only" {
            let only = raw::status(5);
            head.headers_mut().extend(only);
            respond.send_response(head, true).unwrap();
            return;
        }
        let mut stream = respond.send_response(head, false).unwrap();
        stream.send_data("body".into(), false).unwrap();
        let mut trailers = raw::status(0);
        for value in ["2", "1", "2"] {
            trailers.append("x-trailer-bin", value.parse().unwrap());
        }
        trailers.insert("grpc-message", "%E2%82%AC%25".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;

    let only = raw::get(&client, raw::grpc("/echo.Echo/Only")).await;
    assert!(only.only_head && only.trailers.is_none(), "{only:?}");
    assert_eq!(only.header("grpc-status"), Some(&b"5"[..]));
    let mut names: Vec<_> = only.head.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "grpc-status", "x-head"], "nothing was added");

    let whole = raw::get(&client, raw::grpc("/echo.Echo/Whole")).await;
    assert_eq!(whole.body, b"body");
    assert_eq!(whole.header("x-head"), Some(&b"1"[..]));
    assert_eq!(whole.trailer("grpc-message"), Some(&b"%E2%82%AC%25"[..]));
    let trailers = whole.trailers.unwrap();
    let values: Vec<_> = trailers.get_all("x-trailer-bin").iter().collect();
    assert_eq!(values, ["2", "1", "2"]);
}

#[tokio::test]
async fn compressed_messages_are_left_alone() {
    let backend = Backend::with(Options { gzip: true, ..Options::default() }).await;
    let gateway = Gateway::to(&[backend.address]).await;
    let gzip = CompressionEncoding::Gzip;
    let mut client = gateway.client().await.send_compressed(gzip).accept_compressed(gzip);
    let payload = vec![7; 1 << 20];
    let answer = client.unary(message(payload.clone())).await.unwrap();
    assert_eq!(answer.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(answer.into_inner().payload, payload);
}

#[tokio::test]
async fn a_message_of_100_mib_passes() {
    let (_backend, gateway) = plain().await;
    let mut client = gateway.client().await;
    let payload = pattern(100 << 20);
    let answer = client.unary(message(payload.clone())).await.unwrap().into_inner();
    assert!(answer.payload == payload);
    gateway.idle().await;
}

#[tokio::test]
async fn large_metadata_pass_both_ways() {
    let (_backend, gateway) = plain().await;
    let mut client = gateway.client().await;
    for size in [7_900, 8_100, 15_900, 16_100, 32_000, 60_000] {
        let value = "v".repeat(size);
        let answer = client.unary(with("x", "x-large", &value)).await.unwrap();
        assert_eq!(answer.metadata().get("x-large").unwrap(), &*value);
    }
}

#[tokio::test]
async fn a_deadline_that_passes_cancels_the_backend() {
    let (backend, gateway) = plain().await;
    let mut client = gateway.client().await;
    let mut request = with("x", "x-hold", "1");
    request.set_timeout(Duration::from_millis(200));
    let status = client.unary(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    crate::support::eventually("the backend gives up", async || backend.seen.active() == 0).await;
    gateway.idle().await;
}

#[tokio::test]
async fn plain_http_passes_too() {
    let backend = raw::backend(|(request, mut respond)| async move {
        let (parts, mut body) = request.into_parts();
        let said = raw::collect(&mut body).await.unwrap();
        let head = http::Response::builder().status(201).header("x-path", parts.uri.path());
        let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
        stream.send_data(said.into(), true).unwrap();
    })
    .await;
    let gateway = Gateway::start(&one_service(&[backend], "protocol: http2")).await;
    let client = raw::connect(gateway.front()).await;
    let request = http::Request::put("http://test/a/b").body(()).unwrap();
    let (response, mut body) = raw::open(&client, request).await;
    body.send_data("said".into(), true).unwrap();
    let answer = raw::Answer::of(response).await;
    assert_eq!((answer.head.status.as_u16(), &answer.body[..]), (201, &b"said"[..]));
    assert_eq!(answer.header("x-path"), Some(&b"/a/b"[..]));
    assert!(answer.trailers.is_none());
    let page = gateway.metrics().await;
    let labels = [("protocol", "http"), ("code", "201")];
    assert_eq!(page.value("equipoise_requests_total", &labels), 1.0);
}

#[tokio::test]
async fn answers_come_while_the_request_goes_on_and_after_its_end() {
    let (_backend, gateway) = plain().await;
    let mut client = gateway.client().await;
    let parts = tokio_stream::iter((0..64u8).map(|i| message(vec![i; 40_000])));
    let answers = client.bidi(parts).await.unwrap().into_inner();
    let answers: Vec<_> = soon("all answers", answers.collect::<Vec<_>>()).await;
    assert_eq!(answers.len(), 64);
    for (i, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap().payload, vec![i as u8; 40_000]);
    }
}
