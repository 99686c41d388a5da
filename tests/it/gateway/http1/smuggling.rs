//! Forms of requests that two parsers could read in two ways, sent raw over either version to
//! backends of either: none of them arrives.

use std::sync::{Arc, Mutex};

use http::Response;

use super::OK;
use crate::support::frames::{DATA, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM};
use crate::support::gateway::{Gateway, one_service};
use crate::support::http1::{Recorder, exchange};
use crate::support::raw;

/// A gateway before a backend of either version, and what that backend has seen.
struct Pair {
    gateway: Gateway,
    seen: Box<dyn Fn() -> String>,
}

impl Pair {
    async fn to_http1() -> Pair {
        let recorder = Recorder::answering(OK).await;
        let yaml = one_service(&[recorder.address], "protocol: http1");
        Pair { gateway: Gateway::start(&yaml).await, seen: Box::new(move || recorder.seen()) }
    }

    async fn to_http2() -> Pair {
        let seen: Arc<Mutex<String>> = Arc::default();
        let kept = Arc::clone(&seen);
        let address = raw::backend(move |(request, mut respond): raw::Exchange| {
            let kept = Arc::clone(&kept);
            async move {
                let (head, mut body) = request.into_parts();
                kept.lock().unwrap().push_str(&format!("{head:?}\n"));
                while let Some(Ok(data)) = body.data().await {
                    let _ = body.flow_control().release_capacity(data.len());
                    kept.lock().unwrap().push_str(&String::from_utf8_lossy(&data));
                }
                let _ = respond.send_response(Response::new(()), true);
            }
        })
        .await;
        let gateway = Gateway::to(&[address]).await;
        Pair { gateway, seen: Box::new(move || seen.lock().unwrap().clone()) }
    }

    /// What arrives of a request with these lines behind its first two.
    async fn http1(&self, request: &str) -> (String, String) {
        let before = (self.seen)().len();
        let answer = exchange(self.gateway.front(), request.as_bytes()).await;
        (answer, (self.seen)().split_off(before))
    }

    /// What arrives of a request with these fields, and whether it was refused.
    async fn http2(&self, fields: &[(&str, &str)], body: Option<&[u8]>) -> (bool, String) {
        let before = (self.seen)().len();
        let mut client = Frames::connect(self.gateway.front(), &[]).await;
        client.head(1, if body.is_none() { END_STREAM } else { 0 }, fields).await;
        if let Some(body) = body {
            client.send(DATA, END_STREAM, 1, body).await;
        }
        let refused = loop {
            match client.next().await {
                None => break true,
                Some(frame) if frame.kind == RST_STREAM || frame.kind == GOAWAY => break true,
                Some(frame) if frame.stream != 1 => {}
                // The first byte of a literal or indexed `:status`: 0x88 is 200.
                Some(frame) if frame.kind == HEADERS => break frame.payload.first() != Some(&0x88),
                Some(_) => {}
            }
        };
        (refused, (self.seen)().split_off(before))
    }
}

const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

async fn refuses_over_http1(pair: &Pair) {
    let lines = [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Content-Length: 6\r\nContent-Length: 6",
        "Content-Length: 6\r\nContent-Length: 0",
        "Content-Length: 6, 6",
        "Content-Length: +6",
        "Content-Length: 0x6",
        "Content-Length: 6 6",
        "Content-Length : 6",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked;x",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\r\n\tz",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: y\0",
        "Host: other",
        "Host: h",
        "X Y: z",
        "\u{e9}: z",
        ": z",
        "nothing",
    ];
    for line in lines {
        let request = format!("POST /first HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n0\r\n\r\n{NEXT}");
        let (answer, seen) = pair.http1(&request).await;
        assert_eq!(seen, "", "{line:?}");
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 501 "),
            "{line:?}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{line:?}: {answer}");
    }
    let heads = [
        "POST /first HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /first HTTP/1.1\r\n\r\n",
        "GET /first HTTP/1.1\nHost: h\n\n",
        "GET /first HTTP/1.1\r\nHost: h\r\nX: y\n\r\n",
        "GET http://other/first HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://u:p@h/first HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /first HTTP/1.1\r\nHost: u@h\r\n\r\n",
        "GET /first HTTP/1.1\r\nHost: h/x\r\n\r\n",
        "GET /first HTTP/1.1\r\nHost: h h\r\n\r\n",
        "GET first HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET ?/first HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /first /x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /first#x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET\t/first HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /first HTTP/1.1\r\n Host: h\r\n\r\n",
        " GET /first HTTP/1.1\r\nHost: h\r\n\r\n",
        "G@T /first HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /first\r\n\r\n",
    ];
    for head in heads {
        let (answer, seen) = pair.http1(&format!("{head}{NEXT}")).await;
        assert_eq!(seen, "", "{head:?}");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head:?}: {answer}");
    }
}

async fn cleans_over_http1(pair: &Pair) {
    let lines = "Connection: close, X-Secret\r\nX-Secret: 1\r\nConnection: x-other\r\nX-Other: 1\r\n\
        Keep-Alive: secret\r\nProxy-Connection: secret\r\nTE: gzip, secret\r\nHTTP2-Settings: secret\r\n\
        Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c";
    let request = format!("GET /clean HTTP/1.1\r\nHost: h\r\n{lines}\r\nX-Kept: 1\r\n\r\n");
    let (answer, seen) = pair.http1(&request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let seen = seen.to_ascii_lowercase();
    assert!(seen.contains("/clean") && seen.contains("x-kept"), "{seen}");
    for word in
        ["secret", "x-other", "keep-alive", "proxy-connection", "h2c", "settings", "upgrade"]
    {
        assert!(!seen.contains(word), "{word}: {seen}");
    }
    // The framing of a chunk is in doubt: of what is behind it nothing is a request.
    for chunk in [
        "1\nZ\r\n0\r\n\r\n",
        "1\r\nZZ\r\n0\r\n\r\n",
        "1;\rx\r\nZ\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\nX:y\n\r\n",
    ] {
        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (_, seen) = pair.http1(&format!("{head}{chunk}{NEXT}")).await;
        assert!(!seen.contains("smuggled"), "{chunk:?}: {seen}");
    }
}

async fn refuses_over_http2(pair: &Pair) {
    const METHOD: (&str, &str) = (":method", "POST");
    const SCHEME: (&str, &str) = (":scheme", "http");
    const HOST: (&str, &str) = (":authority", "h");
    const PATH: (&str, &str) = (":path", "/first");
    let more: &[&[(&str, &str)]] = &[
        &[("transfer-encoding", "chunked")],
        &[("connection", "x")],
        &[("keep-alive", "x")],
        &[("proxy-connection", "x")],
        &[("upgrade", "h2c")],
        &[("te", "gzip")],
        &[("te", "trailers, chunked")],
        &[("x", "y\r\nhost: evil")],
        &[("x", "y\nz")],
        &[("x", "y\rz")],
        &[("x", "y\0z")],
        &[("x\r\nhost", "evil")],
        &[("x: y\r\nz", "")],
        &[("X", "y")],
        &[("x y", "z")],
        &[("", "z")],
        &[("content-length", "5"), ("content-length", "5")],
        &[("content-length", "5"), ("content-length", "0")],
        &[("content-length", "5, 5")],
        &[("content-length", "+5")],
        &[("host", "other")],
        &[("host", "h"), ("host", "h")],
        &[("x", "y"), (":path", "/second")],
        &[(":path", "/second")],
        &[(":other", "x")],
        &[(":protocol", "websocket")],
    ];
    for more in more {
        let fields = [&[METHOD, SCHEME, HOST, PATH], *more].concat();
        assert_eq!(pair.http2(&fields, Some(b"hello")).await, (true, String::new()), "{more:?}");
    }
    let heads: &[&[(&str, &str)]] = &[
        &[(":method", "GET / HTTP/1.1\r\nx: y"), SCHEME, HOST, PATH],
        &[(":method", "GET /"), SCHEME, HOST, PATH],
        &[METHOD, (":scheme", "http://evil/?"), HOST, PATH],
        &[METHOD, SCHEME, (":authority", "u@h"), PATH],
        &[METHOD, SCHEME, (":authority", "h\r\nx: y"), PATH],
        &[METHOD, SCHEME, (":authority", "h/x"), PATH],
        &[METHOD, SCHEME, PATH, ("host", "u@h")],
        &[METHOD, SCHEME, PATH, ("host", "h/x")],
        &[METHOD, SCHEME, PATH, ("host", "h h")],
        &[METHOD, SCHEME, HOST, (":path", "/ HTTP/1.1\r\nx: y")],
        &[METHOD, SCHEME, HOST, (":path", "/a b")],
        &[METHOD, SCHEME, HOST, (":path", "first")],
        &[METHOD, SCHEME, HOST, (":path", "?first")],
        &[METHOD, SCHEME, HOST, (":path", "/a#b")],
        &[METHOD, SCHEME, HOST, (":path", "*")],
        &[METHOD, SCHEME, HOST, (":path", "")],
        &[METHOD, SCHEME, HOST, (":path", "http://h/")],
    ];
    for fields in heads {
        assert_eq!(pair.http2(fields, None).await, (true, String::new()), "{fields:?}");
    }
    // A body that is longer than was said is not the next request.
    for length in ["0", "3"] {
        let fields = [METHOD, SCHEME, HOST, PATH, ("content-length", length)];
        let body = [b"abc", NEXT.as_bytes()].concat();
        let (refused, seen) = pair.http2(&fields, Some(&body)).await;
        assert!(refused && !seen.contains("smuggled"), "{length}: {seen}");
    }
    // The same without a flaw passes, so that it is not for something else that all fail.
    let whole = [METHOD, SCHEME, HOST, PATH, ("host", "h"), ("content-length", "5")];
    let (refused, seen) = pair.http2(&whole, Some(b"hello")).await;
    assert!(!refused && seen.contains("/first"), "{seen}");
}

#[tokio::test]
async fn from_http1_to_http1() {
    let pair = Pair::to_http1().await;
    refuses_over_http1(&pair).await;
    cleans_over_http1(&pair).await;
}

#[tokio::test]
async fn from_http1_to_http2() {
    let pair = Pair::to_http2().await;
    refuses_over_http1(&pair).await;
    cleans_over_http1(&pair).await;
}

#[tokio::test]
async fn from_http2_to_http1() {
    refuses_over_http2(&Pair::to_http1().await).await;
}

#[tokio::test]
async fn from_http2_to_http2() {
    refuses_over_http2(&Pair::to_http2().await).await;
}
