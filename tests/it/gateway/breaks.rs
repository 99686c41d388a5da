//! Streams that break off: nobody takes a part for the whole, and everybody learns why.

use crate::support::frames::{self, DATA, END_STREAM, Frame, Frames, HEADERS, RST_STREAM, message};
use crate::support::gateway::Gateway;
use crate::support::raw;

const OK: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/grpc")];

/// What a backend does before it breaks off.
async fn begin(frames: &mut Frames, id: u32, until: &str) {
    if until == "head" {
        return;
    }
    frames.head(id, 0, OK).await;
    if until == "message" {
        frames.send(DATA, 0, id, &message(b"whole")).await;
    }
    if until == "middle" {
        frames.send(DATA, 0, id, &message(b"half a message")[..9]).await;
    }
}

const UNTIL: [&str; 4] = ["head", "data", "message", "middle"];

/// The codes of RFC 9113, but for REFUSED_STREAM, after which a request is tried again.
const CODES: [u32; 13] = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13];

/// A backend that gets as far as its stream's number says, and then resets it with a code.
async fn resetting() -> std::net::SocketAddr {
    frames::backend(|mut frames| async move {
        while let Some(frame) = frames.next().await {
            if frame.kind == HEADERS {
                let case = (frame.stream / 2) as usize;
                begin(&mut frames, frame.stream, UNTIL[case % 4]).await;
                let code = CODES[case / 4];
                frames.send(RST_STREAM, 0, frame.stream, &code.to_be_bytes()).await;
            }
        }
    })
    .await
}

fn ends_well(frames: &[Frame]) -> bool {
    frames.iter().any(|f| (f.kind == DATA || f.kind == HEADERS) && f.is(f.kind, END_STREAM))
}

#[tokio::test]
async fn resets_of_the_backend_reach_the_client_with_their_code() {
    let gateway = Gateway::to(&[resetting().await]).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    for case in 0..CODES.len() * 4 {
        let (id, code) = (case as u32 * 2 + 1, CODES[case / 4]);
        client.grpc(id, END_STREAM, "/echo.Echo/Unary", &[]).await;
        let answer = client.stream(id).await;
        let last = answer.last().unwrap();
        assert_eq!((last.kind, last.word()), (RST_STREAM, code), "{}", UNTIL[case % 4]);
        assert!(!ends_well(&answer), "{answer:?}");
    }
    gateway.idle().await;
}

#[tokio::test]
async fn codes_are_counted_as_grpc_reads_resets() {
    let backend = raw::backend(|(request, mut respond)| async move {
        let code: u32 = request.uri().path().rsplit('/').next().unwrap().parse().unwrap();
        respond.send_reset(code.into());
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;
    let cases =
        [(2, "INTERNAL"), (8, "CANCELLED"), (11, "RESOURCE_EXHAUSTED"), (12, "PERMISSION_DENIED")];
    for (code, _) in cases {
        let (response, _body) = raw::open(&client, raw::grpc(&format!("/reset/{code}"))).await;
        let error = raw::Answer::read(response).await.unwrap_err();
        assert_eq!(error.reason(), Some(code.into()));
    }
    gateway.idle().await;
    let page = gateway.metrics().await;
    for (_, name) in cases {
        assert_eq!(page.value("equipoise_requests_total", &[("code", name)]), 1.0);
    }
}

#[tokio::test]
async fn a_connection_that_ends_is_unavailable_whatever_came_before() {
    for until in UNTIL {
        let backend = frames::backend(move |mut frames| async move {
            let id = frames.find(|frame| frame.kind == HEADERS).await.stream;
            begin(&mut frames, id, until).await;
        })
        .await;
        let gateway = Gateway::to(&[backend]).await;
        let client = raw::connect(gateway.front()).await;
        let answer = raw::get(&client, raw::grpc("/echo.Echo/Unary")).await;
        let status = answer.header("grpc-status").or_else(|| answer.trailer("grpc-status"));
        assert_eq!(status, Some(&b"14"[..]), "{until}");
        assert_eq!(answer.only_head, until == "head", "{until}");
        let sent = match until {
            "message" => message(b"whole"),
            "middle" => message(b"half a message")[..9].to_vec(),
            _ => Vec::new(),
        };
        assert_eq!(answer.body, sent, "{until}");
        gateway.idle().await;
    }
}

#[tokio::test]
async fn a_truncated_http_response_is_reset() {
    let backend = frames::backend(move |mut frames| async move {
        let id = frames.find(|frame| frame.kind == HEADERS).await.stream;
        frames.head(id, 0, &[(":status", "200")]).await;
        frames.send(DATA, 0, id, b"half").await;
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;
    let request = http::Request::get("http://test/").body(()).unwrap();
    let mut sender = client.ready().await.unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    assert!(raw::Answer::read(response).await.unwrap_err().is_reset());
}

#[tokio::test]
async fn an_end_without_trailers_stays_one() {
    // Neither completed nor reset by the gateway: the client judges by what the backend did.
    let backend = raw::backend(|(_, mut respond)| async move {
        let mut body = respond.send_response(raw::ok(), false).unwrap();
        body.send_data("all".into(), true).unwrap();
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;
    let answer = raw::get(&client, raw::grpc("/echo.Echo/Unary")).await;
    assert_eq!(answer.body, b"all");
    assert!(answer.trailers.is_none());
    gateway.idle().await;
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_requests_total", &[("code", "UNKNOWN")]), 1.0);
}

#[tokio::test]
async fn a_malformed_response_is_an_internal_error() {
    let backend = frames::backend(|mut frames| async move {
        let id = frames.find(|frame| frame.kind == HEADERS).await.stream;
        frames.head(id, 0, &[("content-type", "application/grpc")]).await; // no :status
        while frames.next().await.is_some() {}
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;
    let answer = raw::get(&client, raw::grpc("/echo.Echo/Unary")).await;
    assert_eq!(answer.header("grpc-status"), Some(&b"13"[..]));
}
