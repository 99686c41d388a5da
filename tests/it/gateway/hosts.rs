//! Spellings of one host are one host, for routes and beside each other.

use std::fmt::Write as _;

use crate::support::frames::{END_STREAM, Frames, HEADERS};
use crate::support::gateway::{Gateway, PORTS};
use crate::support::http1::{Recorder, exchange};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gateway with one route to `backend` for each of these hosts.
async fn routed(hosts: &[&str], backend: &Recorder) -> Gateway {
    let endpoint = format!("endpoints: [ {{ address: {} }} ]", backend.address);
    let mut yaml =
        format!("{PORTS}services: {{ a: {{ protocol: http1, {endpoint} }} }}\nroutes:\n");
    for host in hosts {
        let _ = writeln!(yaml, "  - {{ match: {{ host: \"{host}\" }}, service: a }}");
    }
    Gateway::start(&yaml).await
}

#[tokio::test]
async fn a_dot_at_the_end_makes_no_other_host() {
    let backend = Recorder::answering(OK).await;
    let gateway = routed(&["shop.example", "dotted.example.", "*.below.example."], &backend).await;
    for (host, status) in [
        ("shop.example.", "200"),
        ("Shop.Example.:8080", "200"),
        ("dotted.example", "200"),
        ("dotted.example.", "200"),
        ("a.below.example.:1", "200"),
        ("shop.example..", "404"),
        ("below.example.", "404"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = exchange(gateway.front(), request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    }
    assert!(backend.seen().contains("\r\nhost: Shop.Example.:8080\r\n"), "as the client wrote it");
}

#[tokio::test]
async fn a_host_beside_the_authority_may_be_spelled_in_another_way() {
    let backend = Recorder::answering(OK).await;
    let gateway = routed(&["shop.example"], &backend).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    for (stream, authority, host) in [
        (1, "shop.example", "shop.example:80"),
        (3, "shop.example:80", "SHOP.example."),
        (5, "shop.example.", "shop.example"),
        (7, "shop.example:8080", "Shop.Example.:8080"),
    ] {
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", authority),
            (":path", "/"),
            ("host", host),
        ];
        client.head(stream, END_STREAM, &fields).await;
        let frames = client.stream(stream).await;
        assert_eq!(frames[0].kind, HEADERS, "{authority} {host}: {frames:?}");
        assert!(backend.seen().ends_with("\r\n\r\n"));
        let last = backend.seen();
        let last = last.rsplit("GET / ").next().unwrap();
        assert!(last.contains(&format!("\r\nhost: {authority}\r\n")), "{last}");
    }
    let request = "GET http://shop.example/ HTTP/1.1\r\nHost: shop.example:80\r\n\
                   Connection: close\r\n\r\n";
    let answer = exchange(gateway.front(), request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
