//! RFC 9113, section 8: messages.

use super::peer::{Outcome, Peer};
use super::wire::{self, ALL, END, NONE, REQUEST, RESPONSE, Sent, WHOLE};
use crate::http::{Connection as _, ErrorCode, Gone, Headers, Key, Limits, Name, Role, SendError};
use crate::http2::frame::kind;

const MALFORMED: Outcome = Outcome::Stream(ErrorCode::PROTOCOL_ERROR);
const TAKEN: Outcome = Outcome::Taken;

type Fields<'a> = &'a [(&'a str, &'a str)];

/// A method, the frames that answer it, and what they mean.
type Answer = (&'static str, Vec<Vec<u8>>, &'static [&'static str]);

#[test]
fn s8_3_1_requests() {
    let good = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    let with = |field: (&'static str, &'static str)| [&good[..], &[field]].concat();
    let cases = [
        ("good", good.to_vec(), TAKEN),
        ("8.3.1 no :method", good[1..].to_vec(), MALFORMED),
        ("8.3.1 no :path", good[..2].to_vec(), MALFORMED),
        ("8.3.1 :path twice", with((":path", "/")), MALFORMED),
        ("8.3 a response's :status", with((":status", "200")), MALFORMED),
        ("8.3 unknown", with((":nobody", "x")), MALFORMED),
        ("8.3 after a field", [&[("x", "y")], &good[..]].concat(), MALFORMED),
        ("8.2.1 upper case", with(("X", "y")), MALFORMED),
        ("8.2.1 a line break", with(("x", "y\nz")), MALFORMED),
        ("8.2.1 a blank in front", with(("x", " y")), TAKEN),
        ("8.2.1 a blank behind", with(("x", "y\t")), TAKEN),
        ("8.2.1 a blank in a name", with(("x ", "y")), MALFORMED),
        ("8.2.2 connection", with(("connection", "close")), MALFORMED),
        ("8.2.2 te", with(("te", "gzip")), MALFORMED),
        ("8.2.2 te: trailers", with(("te", "trailers")), TAKEN),
        ("8.2.3 crumbs", [with(("cookie", "a")), vec![("cookie", "b")]].concat(), TAKEN),
        ("8.1.1 no number", with(("content-length", "x")), MALFORMED),
        ("8.5 CONNECT", vec![(":method", "CONNECT"), (":authority", "a:1")], TAKEN),
        ("8.5 CONNECT to a path", [&[(":method", "CONNECT")], &good[1..]].concat(), MALFORMED),
    ];
    for (name, fields, expected) in cases {
        let mut peer = Peer::of(Role::Server);
        let bytes = wire::headers(WHOLE, 1, &wire::block(&fields));
        assert_eq!(peer.outcome(&bytes), expected, "{name}");
        let known = usize::from(expected == TAKEN);
        assert_eq!((peer.conn.open_streams(), peer.take_events().len()), (known, known), "{name}");
    }
}

/// What a client sees of a response to this method.
fn response(method: &str, frames: &[Vec<u8>]) -> Vec<String> {
    let mut peer = Peer::of(Role::Client);
    peer.open(method, true);
    for frame in frames {
        peer.send(frame);
    }
    assert_eq!(peer.error, None);
    peer.take_events()
}

fn head(flags: u8, fields: Fields<'_>) -> Vec<u8> {
    wire::headers(flags, 1, &wire::block(fields))
}

fn body(flags: u8, len: usize) -> Vec<u8> {
    wire::data(flags, 1, &b"12345678"[..len])
}

#[test]
fn s8_1_responses_that_are_whole() {
    let ok = head(WHOLE, &[(":status", "200")]);
    let hint = head(WHOLE, &[(":status", "103"), ("link", "x")]);
    let five = head(WHOLE, &[(":status", "200"), ("content-length", "5")]);
    let trailers = head(ALL, &[("grpc-status", "0")]);
    let cases: &[Answer] = &[
        ("GET", vec![ok.clone(), body(END, 2)], &["response 1", "data 1 12 end"]),
        (
            "GET",
            vec![ok.clone(), body(NONE, 1), body(END, 0)],
            &["response 1", "data 1 1", "data 1  end"],
        ),
        (
            "GET",
            vec![ok.clone(), body(NONE, 1), trailers.clone()],
            &["response 1", "data 1 1", "trailers 1"],
        ),
        ("GET", vec![ok, trailers.clone()], &["response 1", "trailers 1"]),
        (
            "GET",
            vec![hint.clone(), hint, five.clone(), body(NONE, 3), body(END, 2)],
            &["informational 1", "informational 1", "response 1", "data 1 123", "data 1 12 end"],
        ),
        (
            "GET",
            vec![five.clone(), body(NONE, 5), trailers],
            &["response 1", "data 1 12345", "trailers 1"],
        ),
        (
            "HEAD",
            vec![head(ALL, &[(":status", "200"), ("content-length", "5")])],
            &["response 1 end"],
        ),
        ("HEAD", vec![five, body(END, 0)], &["response 1", "data 1  end"]),
        (
            "GET",
            vec![head(ALL, &[(":status", "304"), ("content-length", "5")])],
            &["response 1 end"],
        ),
        ("GET", vec![head(ALL, &[(":status", "204")])], &["response 1 end"]),
    ];
    for (method, frames, expected) in cases {
        assert_eq!(response(method, frames), *expected);
    }
}

#[test]
fn s8_1_1_responses_that_are_malformed() {
    let ok = head(WHOLE, &[(":status", "200")]);
    let five = head(WHOLE, &[(":status", "200"), ("content-length", "5")]);
    let cases: &[(&str, &str, Vec<Vec<u8>>)] = &[
        ("no :status", "GET", vec![head(WHOLE, &[("x", "y")])]),
        ("a request's :path", "GET", vec![head(WHOLE, &[(":status", "200"), (":path", "/")])]),
        ("101", "GET", vec![head(WHOLE, &[(":status", "101")])]),
        ("100 that ends", "GET", vec![head(ALL, &[(":status", "100")])]),
        ("DATA first", "GET", vec![body(NONE, 1)]),
        ("DATA after 100", "GET", vec![head(WHOLE, &[(":status", "100")]), body(NONE, 1)]),
        ("two heads", "GET", vec![ok.clone(), ok.clone()]),
        ("100 after the head", "GET", vec![ok.clone(), head(WHOLE, &[(":status", "100")])]),
        ("trailers that go on", "GET", vec![ok.clone(), head(WHOLE, &[("x", "y")])]),
        ("pseudo-headers in trailers", "GET", vec![ok, head(ALL, &[(":status", "200")])]),
        ("body too short", "GET", vec![five.clone(), body(END, 4)]),
        ("body too long", "GET", vec![five.clone(), body(NONE, 6)]),
        ("trailers too early", "GET", vec![five.clone(), head(ALL, &[("x", "y")])]),
        ("no body", "GET", vec![head(ALL, &[(":status", "200"), ("content-length", "5")])]),
        ("a body to HEAD", "HEAD", vec![five, body(END, 5)]),
        ("a body of 204", "GET", vec![head(WHOLE, &[(":status", "204")]), body(NONE, 1)]),
    ];
    for (name, method, frames) in cases {
        let events = response(method, frames);
        assert!(events.last().unwrap().starts_with("reset 1 1 Malformed"), "{name}: {events:?}");
    }
}

#[test]
fn s8_1_1_bodies_of_requests() {
    let five = wire::headers(WHOLE, 1, &wire::request(&[("content-length", "5")]));
    let trailers = head(ALL, &[("x", "y")]);
    let cases: &[(&str, Vec<Vec<u8>>, Outcome)] = &[
        ("whole", vec![five.clone(), body(END, 5)], TAKEN),
        ("whole, with trailers", vec![five.clone(), body(NONE, 5), trailers.clone()], TAKEN),
        ("too short", vec![five.clone(), body(END, 4)], MALFORMED),
        ("too long", vec![five.clone(), body(NONE, 6)], MALFORMED),
        ("too short, with trailers", vec![five, body(NONE, 4), trailers], MALFORMED),
        (
            "missing",
            vec![wire::headers(ALL, 1, &wire::request(&[("content-length", "5")]))],
            MALFORMED,
        ),
        (
            "declared empty",
            vec![wire::headers(ALL, 1, &wire::request(&[("content-length", "0")]))],
            TAKEN,
        ),
    ];
    for (name, frames, expected) in cases {
        assert_eq!(Peer::of(Role::Server).outcome(&frames.concat()), *expected, "{name}");
    }
}

fn fields(status: &str) -> Headers {
    let mut headers = Headers::new();
    headers.add(Name::Status, status.as_bytes());
    headers
}

#[test]
fn s8_1_a_server_resets_a_discarded_request_after_its_response() {
    let mut peer = Peer::of(Role::Server);
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
    let key = peer.keys[0];
    peer.conn.discard(key);
    assert_eq!(peer.outcome(&wire::data(NONE, 1, b"not wanted")), Outcome::Ignored);
    peer.respond(key, false);
    peer.conn.send_data(key, b"no", true).unwrap();
    let sent = peer.sent();
    let kinds: Vec<_> = sent.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [kind::HEADERS, kind::DATA, kind::RST_STREAM]);
    assert_eq!((sent[2].number(), peer.conn.open_streams()), (0, 0));
}

/// A client may read our answer only when it has sent its request.
#[test]
fn s8_1_a_client_may_send_until_the_response_is_complete() {
    let mut peer = Peer::of(Role::Server);
    let window = Limits::edge().stream_window as usize;
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
    let key = peer.keys[0];
    let grants = |sent: &[Sent]| {
        let updates = sent.iter().filter(|f| f.kind == kind::WINDOW_UPDATE && f.stream == 1);
        updates.map(Sent::number).sum::<u32>() as usize
    };
    let piece = vec![b'x'; 1 << 10];
    for _ in 0..window / piece.len() {
        peer.send(&wire::data(NONE, 1, &piece)); // and nobody takes it
    }
    assert_eq!(grants(&peer.sent()), 0);
    peer.respond(key, false);
    assert!(peer.conn.send_data(key, &vec![b'y'; 1 << 20], true).unwrap() < 1 << 20);
    peer.conn.discard(key);
    assert_eq!(grants(&peer.sent()), window);
    peer.conn.release(key, window); // comes too late
    for _ in 0..3 * window / piece.len() {
        peer.send(&wire::data(NONE, 1, &piece));
    }
    let sent = peer.sent();
    assert_eq!(grants(&sent), 3 * window);
    assert!(sent.iter().all(|frame| frame.kind != kind::RST_STREAM), "not before it is answered");
    assert_eq!(peer.conn.open_streams(), 1);
}

#[test]
fn s8_1_a_client_discards_the_rest_of_a_response() {
    let mut peer = Peer::of(Role::Client);
    let key = peer.open("POST", false);
    peer.conn.discard(key);
    assert_eq!((peer.conn.open_streams(), peer.conn.is_busy()), (1, false));
    let frames = [wire::headers(WHOLE, 1, RESPONSE), wire::data(NONE, 1, b"x")].concat();
    assert_eq!(peer.outcome(&frames), Outcome::Ignored);
    // Its request has not ended: when it is reset is for whoever counts resets to say.
    assert_eq!(peer.outcome(&wire::data(END, 1, b"x")), Outcome::Ignored);
    assert_eq!(peer.conn.open_streams(), 1);
    peer.conn.reset(key, ErrorCode::CANCEL);
    assert_eq!(peer.conn.open_streams(), 0);
}

/// What may be sent, and when.
#[test]
fn s8_1_our_own_order() {
    let mut peer = Peer::of(Role::Server);
    peer.send(&wire::headers(ALL, 1, REQUEST));
    let key: Key = peer.keys[0];
    let (hint, ok) = (fields("103"), fields("200"));
    assert_eq!(peer.conn.send_data(key, b"early", false), Err(Gone));
    assert_eq!(peer.conn.send_trailers(key, &ok), Err(SendError::Gone));
    assert_eq!(peer.conn.send_informational(key, &hint), Ok(()));
    assert_eq!(peer.conn.send_head(key, &ok, false), Ok(()));
    assert_eq!(peer.conn.send_informational(key, &hint), Err(SendError::Gone));
    assert_eq!(peer.conn.send_head(key, &ok, false), Err(SendError::Gone));
    assert_eq!(peer.conn.send_data(key, b"", false), Ok(0));
    assert_eq!(peer.conn.send_data(key, b"end", true), Ok(3));
    assert_eq!(peer.conn.send_data(key, b"late", true), Err(Gone));
    assert!(!peer.conn.is_open(key));
    let kinds: Vec<_> = peer.sent().iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [kind::HEADERS, kind::HEADERS, kind::DATA]);
}
