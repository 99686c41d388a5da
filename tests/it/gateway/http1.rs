//! HTTP/1.1 on either side of the gateway.

mod bodies;
mod broken;
mod early;
mod ends;
mod exchanges;
mod informational;
mod smuggling;

use crate::support::gateway::{Gateway, one_service};
use crate::support::http1::{Recorder, exchange};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn gateway_to(backend: &Recorder) -> Gateway {
    Gateway::start(&one_service(&[backend.address], "protocol: http1")).await
}

#[tokio::test]
async fn a_request_and_its_answer_pass() {
    let backend = Recorder::answering(OK).await;
    let gateway = gateway_to(&backend).await;
    let request = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = exchange(gateway.front(), request).await;
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    assert_eq!(answer, expected);
    let seen = backend.seen();
    assert!(seen.starts_with("GET /a HTTP/1.1\r\nhost: h\r\n"), "{seen}");
    assert!(!seen.contains("connection"), "{seen}");
}

#[tokio::test]
async fn requests_of_one_connection_follow_each_other() {
    let backend = Recorder::answering(OK).await;
    let gateway = gateway_to(&backend).await;
    let request = b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\n\
        Content-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = exchange(gateway.front(), request).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    let seen = backend.seen();
    let places: Vec<_> = ["/1", "/2", "/3"].map(|path| seen.find(path).unwrap()).into();
    assert!(places.is_sorted(), "{seen}");
}

#[tokio::test]
async fn bytes_behind_an_upgrade_wait_for_the_backend_to_agree() {
    let refusing = Recorder::answering(OK).await;
    let gateway = gateway_to(&refusing).await;
    let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n\
        GET /smuggled HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = exchange(gateway.front(), request).await;
    // The backend kept to HTTP/1.1: what follows is a request of its own.
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert!(refusing.seen().contains("GET /smuggled HTTP/1.1\r\nhost: h\r\n"));
}

#[tokio::test]
async fn grpc_over_http1_is_told_what_to_do() {
    let backend = Recorder::answering(OK).await;
    let gateway = gateway_to(&backend).await;
    let request = b"POST /a.B/C HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\n\
        Content-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = exchange(gateway.front(), request).await;
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
    assert!(answer.contains("this came over HTTP/1.1"), "{answer}");
    assert_eq!(backend.seen(), "");
}

#[tokio::test]
async fn grpc_web_is_told_what_is_so() {
    let backend = Recorder::answering(OK).await;
    let yaml = one_service(&[backend.address], "protocol: http1");
    let yaml = yaml.replace("{ service: echo }", "{ match: { grpc: a.B }, service: echo }");
    let gateway = Gateway::start(&yaml).await;
    for (kind, told) in [("application/grpc-web+proto", true), ("text/plain", false)] {
        let request = format!(
            "POST /a.B/C HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let answer = exchange(gateway.front(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert_eq!(answer.contains("gRPC-Web, which is not translated"), told, "{answer}");
    }
}
