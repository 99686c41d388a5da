//! Heads of requests, as they are read and as they are refused.

use std::sync::Arc;

use super::shown;
use crate::http::{Connection as _, Event, HeaderPool, Headers, Limits, Name};
use crate::http1::Connection;

/// How a server parses `input`: the fields of the request, or the error response.
fn read(input: &[u8]) -> Result<Headers, String> {
    let mut server = Connection::server(Arc::new(Limits::edge()), b"http");
    let mut rest = input;
    match server.receive(&mut rest, 0, &mut HeaderPool::default(), |_, _, _| 0) {
        Ok(Some(Event::Request { headers, .. })) => Ok(headers),
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            let answer = String::from_utf8_lossy(server.output().bytes()).into_owned();
            assert!(answer.ends_with(&format!("{}\n", error.detail)), "{answer}");
            Err(answer.get(9..12).unwrap_or_default().into())
        }
    }
}

#[test]
fn a_request_is_as_http2_would_have_brought_it() {
    let cases: &[(&str, &str)] = &[
        ("GET /a?b HTTP/1.1\r\nHost: H:1\r\nX-A:  1 \r\n\r\n", "/a?b H:1 x-a=1"),
        ("GET http://h/p HTTP/1.1\r\nHost: H\r\n\r\n", "/p h"),
        ("GET http://h/p HTTP/1.1\r\nHost: H.:80\r\n\r\n", "/p h"),
        ("GET HTTPS://h:443/p HTTP/1.1\r\nHost: h\r\n\r\n", "/p h:443"),
        ("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n", "* h"),
        ("GET / HTTP/1.0\r\n\r\n", "/"),
        ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "/ h"),
        // All hop-by-hop fields, including those nominated on several lines.
        (
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, x-a\r\nX-A: 1\r\nKeep-Alive: 5\r\n\
             connection: X-B\r\nx-b: 2\r\nProxy-Connection: x\r\nTE: gzip\r\nX-C: 3\r\n\r\n",
            "/ h x-c=3",
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMA\r\n\r\n",
            "/ h",
        ),
        ("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n", "/ h"),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "/ h upgrade=websocket",
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n",
            "/ h",
        ),
        ("GET / HTTP/1.1\r\nHost: h\r\nTE: trailers;q=1\r\n\r\n", "/ h te=trailers"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 007\r\n\r\n", "/ h content-length=7"),
    ];
    for (input, expected) in cases {
        let headers = read(input.as_bytes()).unwrap_or_else(|status| panic!("{input}: {status}"));
        let mut of_target = vec![];
        of_target.extend(headers.get(Name::Path).map(|p| String::from_utf8_lossy(p).into_owned()));
        of_target
            .extend(headers.get(Name::Authority).map(|p| String::from_utf8_lossy(p).into_owned()));
        let mut rest = headers.clone();
        rest.retain(|field| !field.id.is_pseudo());
        let rest = shown(&rest);
        let said = [of_target.join(" "), rest].join(" ");
        assert_eq!(said.trim(), *expected, "{input}");
    }
}

#[test]
fn what_two_parsers_could_read_in_two_ways_is_refused() {
    let refused = |status: &str, lines: &[&str]| {
        for line in lines {
            let input = match line.split_once(' ') {
                Some((method, _)) if method.bytes().all(|b| b.is_ascii_uppercase()) => {
                    format!("{line}\r\nHost: h\r\n\r\n")
                }
                _ => format!("POST / HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n"),
            };
            assert_eq!(read(input.as_bytes()), Err(status.into()), "{input:?}");
        }
    };
    refused(
        "400",
        &[
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 4",
            "Content-Length: 4\r\nContent-Length: 4",
            "Content-Length: 4, 4",
            "Content-Length: +4",
            "Content-Length:",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding : chunked",
            "x: a\r\n folded",
            "x: a\nb: c",
            "x: a\rb",
            "x: a\0b",
            ": a",
            "no colon",
            "bad(name: a",
            "Host: h",
            "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / http/1.1",
            "GET /",
            "GET foo HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET * HTTP/1.1",
            "GET http://other/ HTTP/1.1",
            "GET http://u@h/ HTTP/1.1",
            "GET http:///p HTTP/1.1",
            "GET ftp://h/ HTTP/1.1",
        ],
    );
    refused("501", &["Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity"]);
    refused("505", &["GET / HTTP/2.0", "GET / HTTP/1.2"]);
    for input in ["GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"]
    {
        assert_eq!(read(input.as_bytes()), Err("400".into()), "{input:?}");
    }
    assert_eq!(read(b"GET / HTTP/1.1\nHost: h\n\n"), Err("400".into()));
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(100));
    assert_eq!(read(many.as_bytes()), Err("431".into()));
    let large = format!("GET / HTTP/1.1\r\nHost: h\r\na: {}", "b".repeat(17 << 10));
    assert_eq!(read(large.as_bytes()), Err("431".into()));
}
