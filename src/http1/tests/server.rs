//! The server role: the framing of responses, and input between exchanges.

use super::{End, head};
use crate::http::Connection as _;

/// What is written in answer to a request with this first line.
fn answered(line: &str, fields: &[(&str, &str)], body: Option<&[u8]>) -> (String, bool) {
    let mut server = End::server();
    server.feed(format!("{line}\r\nHost: h\r\n\r\n").as_bytes());
    server.answer(fields, body);
    (server.written(), server.codec.is_leaving())
}

#[test]
fn a_body_of_unknown_length_is_chunked_for_those_who_know_chunks() {
    let ok = &[(":status", "200")];
    let (written, leaving) = answered("GET / HTTP/1.1", ok, Some(b"abc"));
    assert_eq!(
        written,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    );
    assert!(!leaving);
    let (written, leaving) = answered("GET / HTTP/1.0", ok, Some(b"abc"));
    assert_eq!(written, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc");
    assert!(leaving);
    let sized = &[(":status", "200"), ("content-length", "3")];
    let (written, leaving) = answered("GET / HTTP/1.0", sized, Some(b"abc"));
    assert_eq!(written, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc");
    assert!(leaving);
}

#[test]
fn what_has_no_body_is_sent_without_one() {
    for line in ["HEAD / HTTP/1.1", "HEAD / HTTP/1.0"] {
        let fields = &[(":status", "200"), ("content-length", "5")];
        for body in [None, Some(&b"hello"[..])] {
            let (written, _) = answered(line, fields, body);
            assert!(written.contains("content-length: 5\r\n"), "{written}");
            assert!(written.ends_with("\r\n\r\n"), "{written}");
        }
    }
    for status in ["204", "304"] {
        let (written, leaving) = answered("GET / HTTP/1.1", &[(":status", status)], Some(b"x"));
        assert!(written.ends_with("\r\n\r\n"), "{written}");
        assert!(!written.contains("transfer-encoding"), "{written}");
        assert!(!leaving);
    }
    let (written, _) = answered("GET / HTTP/1.1", &[(":status", "200")], None);
    assert_eq!(written, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn nothing_in_a_field_makes_another_line() {
    let fields = &[
        (":status", "200"),
        ("x-a", "1\r\nx-b: 2"),
        ("x-c", "3\nx-d: 4"),
        ("transfer-encoding", "chunked"),
        ("connection", "x"),
    ];
    let (written, _) = answered("GET / HTTP/1.1", fields, None);
    assert_eq!(written, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn informational_responses_are_for_those_who_know_of_them() {
    for (line, said) in [("GET / HTTP/1.1", true), ("GET / HTTP/1.0", false)] {
        let mut server = End::server();
        server.feed(format!("{line}\r\nHost: h\r\n\r\n").as_bytes());
        let hints = head(&[(":status", "103"), ("link", "x")]);
        server.codec.send_informational(server.key(), &hints).unwrap();
        let written = server.written();
        assert_eq!(written == "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", said, "{written}");
        assert_eq!(written.is_empty(), !said);
    }
}

#[test]
fn pipelined_requests_wait_for_the_answers_before_them() {
    let mut server = End::server();
    server.feed(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(server.codec.is_blocked());
    assert_eq!(server.said.len(), 2, "{:?}", server.said);
    server.answer(&[(":status", "200")], None);
    assert!(!server.codec.is_blocked());
    server.feed(b"");
    assert!(server.told().contains(":path=/2"));
    server.answer(&[(":status", "204")], None);
    let written = server.written();
    assert!(written.find("200 OK") < written.find("204 No Content"), "{written}");
}

/// A server that has answered a request before it was complete, and discards the rest.
fn answered_early(head: &str, begun: &[u8]) -> End {
    let mut server = End::server();
    server.feed(format!("POST / HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n").as_bytes());
    server.feed(begun);
    server.answer(&[(":status", "403")], Some(b"no"));
    server.codec.discard(server.key());
    server.told();
    server
}

const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn the_next_request_follows_one_answered_early() {
    let padded = |len| [NEXT, &b"y".repeat(len - NEXT.len())].concat();
    for (head, begun, rest) in [
        ("Content-Length: 99", &b"abc"[..], padded(96)),
        ("Content-Length: 262145", b"a", padded(262_144)),
    ] {
        let mut server = answered_early(head, begun);
        assert!(!server.written().contains("close"), "{head}");
        assert!(!server.codec.is_open(server.key()), "the request's task has done its part");
        assert!(server.codec.is_unfinished(0), "and the client has only so much time");
        server.feed(&rest);
        assert_eq!(server.told(), "", "{head}");
        server.feed(NEXT);
        assert!(server.told().contains(":path=/next | end"), "{head}");
        assert!(!server.codec.is_cut_short());
    }
}

#[test]
fn a_request_too_long_to_discard_closes_the_connection() {
    // The total length of a chunked body is unknown.
    for (head, begun) in [
        ("Content-Length: 262146", &b"a"[..]),
        ("Transfer-Encoding: chunked", b""),
        ("Transfer-Encoding: chunked", b"5\r\nab"),
    ] {
        let mut server = answered_early(head, begun);
        assert!(server.written().contains("\r\nconnection: close\r\n"), "{head}");
        let codec = &server.codec;
        assert!(codec.is_leaving() && codec.is_cut_short() && !codec.is_busy(), "{head}");
        // This may be a part of the body.
        server.feed(NEXT);
        assert_eq!(server.told(), "", "{head}");
    }
}

#[test]
fn without_100_continue_the_body_is_uncertain_so_the_connection_closes() {
    let asking = "Content-Length: 3\r\nExpect: 100-Continue";
    let mut server = answered_early(asking, b"");
    assert!(server.written().contains("\r\nconnection: close\r\n"));
    server.feed(NEXT);
    assert_eq!(server.told(), "");
    // It has not waited, or was told.
    let mut server = answered_early(asking, b"a");
    assert!(!server.written().contains("close"));
    server.feed(b"bc");
    server.feed(NEXT);
    assert!(server.told().contains(":path=/next | end"));
    let mut server = End::server();
    server.feed(format!("POST / HTTP/1.1\r\nHost: h\r\n{asking}\r\n\r\n").as_bytes());
    server.codec.send_informational(server.key(), &head(&[(":status", "103")])).unwrap();
    server.codec.send_informational(server.key(), &head(&[(":status", "100")])).unwrap();
    server.answer(&[(":status", "403")], None);
    assert!(!server.written().contains("close"));
}

#[test]
fn a_connection_that_is_to_end_does_not_wait_for_the_rest_of_a_request() {
    let mut server = answered_early("Content-Length: 99", b"");
    assert!(server.codec.is_busy());
    server.codec.leave();
    assert!(server.codec.is_leaving() && server.codec.is_cut_short() && !server.codec.is_busy());
    let mut server = answered_early("Connection: close\r\nContent-Length: 99", b"");
    assert!(server.written().contains("\r\nconnection: close\r\n"));
    assert!(server.codec.is_leaving() && server.codec.is_cut_short() && !server.codec.is_busy());
}

#[test]
fn a_truncated_message_is_distinguished_from_a_complete_one() {
    let ok = &[(":status", "200")][..];
    let sized = &[(":status", "200"), ("content-length", "3")][..];
    for (version, fields, body, broken) in [
        ("1.0", ok, Some("ab"), true),
        ("1.1", ok, Some("ab"), true),
        ("1.1", ok, Some(""), true),
        ("1.1", sized, Some("ab"), true),
        ("1.1", sized, Some("abc"), false),
        ("1.1", ok, None, false),
    ] {
        let mut server = End::server();
        server.feed(format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n").as_bytes());
        let key = server.key();
        if let Some(body) = body {
            server.codec.send_head(key, &head(fields), false).unwrap();
            server.codec.send_data(key, body.as_bytes(), false).unwrap();
        }
        server.codec.reset(key, crate::http::ErrorCode::INTERNAL_ERROR);
        assert!(server.codec.is_leaving());
        assert_eq!(server.codec.is_truncated(), broken, "{version} {fields:?} {body:?}");
        assert_eq!(server.written().contains("HTTP/1.1 502 "), body.is_none());
    }
}

#[test]
fn input_after_close_is_ignored() {
    let mut server = End::server();
    server.feed(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
    server.told();
    server.answer(&[(":status", "200")], None);
    assert!(server.written().contains("connection: close\r\n"));
    server.feed(b"");
    assert_eq!(server.told(), "");
    assert!(server.codec.is_leaving());
}

#[test]
fn a_response_that_breaks_its_length_breaks_off() {
    for body in ["ab", "abcd"] {
        let mut server = End::server();
        server.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let key = server.key();
        let fields = head(&[(":status", "200"), ("content-length", "3")]);
        server.codec.send_head(key, &fields, false).unwrap();
        let _ = server.codec.send_data(key, body.as_bytes(), true);
        assert!(!server.codec.is_open(key) && server.codec.is_leaving(), "{body}");
        assert!(!server.written().contains("abcd"));
    }
}

#[test]
fn a_slow_reader_makes_the_body_wait() {
    let mut server = End::server();
    server.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let key = server.key();
    server.codec.send_head(key, &head(&[(":status", "200")]), false).unwrap();
    let body = "x".repeat(1 << 20);
    let sent = server.codec.send_data(key, body.as_bytes(), false).unwrap();
    assert!(sent < body.len());
    assert_eq!(server.codec.pending_bytes(), body.len() - sent);
    server.codec.send_trailers(key, &head(&[("x-sum", "7")])).unwrap();
    let mut written = String::new();
    while server.codec.is_busy() || server.codec.output_len() > 0 {
        let piece = server.written();
        assert!(!piece.is_empty() && piece.len() < 256 << 10);
        written += &piece;
    }
    assert_eq!(written.matches('x').count(), body.len() + 1);
    assert!(written.ends_with("\r\n0\r\nx-sum: 7\r\n\r\n"));
}
