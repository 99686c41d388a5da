//! Where a body ends, however its bytes come.

use std::sync::Arc;

use super::{Connection, End, told_of};
use crate::http::{Connection as _, HeaderPool, Limits};

/// A server's events for the body of a request with this field.
fn body(field: &str, rest: &str) -> String {
    let input = format!("POST / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n{rest}");
    let told = told_of(End::server, input.as_bytes());
    let (_, told) = told.split_once(" | ").unwrap_or_default();
    told.to_owned()
}

fn chunked(rest: &str) -> String {
    body("Transfer-Encoding: chunked", rest)
}

#[test]
fn chunks_are_taken_apart() {
    assert_eq!(chunked("0\r\n\r\n"), "end");
    assert_eq!(chunked("3\r\nabc\r\n0\r\n\r\n"), "data abc | end");
    assert_eq!(
        chunked("3;x=\"y\";z\r\nabc\r\n00a \r\n0123456789\r\n000\r\n\r\n"),
        "data abc0123456789 | end"
    );
    assert_eq!(
        chunked("A\r\n0123456789\r\n0\r\nX-Sum: 7\r\n\r\n"),
        "data 0123456789 | trailers x-sum=7 | end"
    );
}

#[test]
fn trailers_bring_nothing_that_belongs_in_a_head() {
    let forbidden = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\nHost: evil\r\n\
        Authorization: x\r\nCookie: x\r\nContent-Type: x\r\nExpect: x\r\nTE: trailers\r\n\
        Connection: close\r\nUpgrade: x\r\nKeep-Alive: x\r\n";
    for line in forbidden.split_inclusive("\r\n").filter(|line| !line.contains("Transfer")) {
        assert_eq!(chunked(&format!("0\r\n{line}\r\n")), "end", "{line}");
        assert_eq!(chunked(&format!("0\r\n{line}X: 1\r\n\r\n")), "trailers x=1 | end", "{line}");
    }
    assert_eq!(chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), "end");
    assert_eq!(chunked("0\r\nConnection: x-a\r\nX-A: 1\r\n\r\n"), "end");
    for line in [":path: /x", "x : 1", " x: 1", "x: 1\n", "x: a\rb", "x"] {
        let told = chunked(&format!("0\r\n{line}\r\n\r\n"));
        assert!(told.contains("error: "), "{line}: {told}");
    }
}

#[test]
fn a_chunk_whose_end_is_in_doubt_ends_the_connection() {
    let long = format!("1;{}\r\na\r\n", "x".repeat(300));
    let bad = [
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "+1\r\na\r\n",
        "0x1\r\na\r\n",
        "1 1\r\na\r\n",
        "1\na\r\n",
        "1\r\nab\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "1;a\rb\r\na\r\n",
        "ffffffffffffffff\r\n",
        "10000000000000000\r\n",
        " 1\r\na\r\n",
        &long,
    ];
    for rest in bad {
        let told = chunked(rest);
        assert!(told.contains("error: "), "{rest:?}: {told}");
        assert!(!told.contains("| end") && !told.starts_with("end"), "{rest:?}: {told}");
    }
}

#[test]
fn trailers_have_a_bound() {
    let mut server = End::server();
    server.feed(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for _ in 0..20 {
        server.feed(format!("x: {}\r\n", "y".repeat(1000)).as_bytes());
    }
    assert!(server.told().contains("error: trailers too large"));
}

#[test]
fn a_declared_length_is_kept_to() {
    assert_eq!(body("Content-Length: 3", "abc"), "data abc | end");
    assert_eq!(body("Content-Length: 0", ""), "end");
    // Too short: there is no end. What comes behind is looked at when this one is answered.
    assert_eq!(body("Content-Length: 4", "abc"), "data abc | reset Peer");
    let mut server = End::server();
    server.feed(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcd");
    assert!(server.told().ends_with("data abc | end"));
    server.answer(&[(":status", "200")], None);
    server.feed(b"\r\n\r\n");
    assert!(server.told().starts_with("error: "));
    assert!(server.written().contains("HTTP/1.1 400 "));
}

#[test]
fn credit_for_earlier_pieces_opens_the_window_again() {
    let limits = Limits { stream_window: 1000, ..Limits::edge() };
    let mut server = Connection::server(Arc::new(limits), b"http");
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n".to_vec();
    let body = [b'x'; 300].repeat(300);
    let (input, mut came, mut kept) = ([head, body.clone()].concat(), 0, 0);
    let mut rest = &input[..];
    let mut take = |_, payload: &[u8], _| {
        came += payload.len();
        kept += payload.len();
        if kept > 500 { std::mem::take(&mut kept) } else { 0 } // those before it left with it
    };
    let pool = &mut HeaderPool::default();
    assert!(server.receive(&mut rest, 0, pool, &mut take).unwrap().is_some());
    for piece in rest.chunks(300) {
        assert!(server.receive(&mut &*piece, 0, pool, &mut take).unwrap().is_none());
        assert!(!server.is_blocked());
    }
    assert_eq!(came, body.len());
}
