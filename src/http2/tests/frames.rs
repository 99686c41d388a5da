//! RFC 9113, sections 3.4, 4 and 6: the format of frames, and the errors of malformed ones.

use super::peer::{Outcome, Peer};
use super::wire::{self, ALL, END, NONE, PADDED, REQUEST, RESPONSE, WHOLE};
use crate::http::{Connection as _, ErrorCode, Limits, Role};
use crate::http2::PREFACE;
use crate::http2::frame::kind;

const PROTOCOL: Outcome = Outcome::Connection(ErrorCode::PROTOCOL_ERROR);
const SIZE: Outcome = Outcome::Connection(ErrorCode::FRAME_SIZE_ERROR);
const COMPRESSION: Outcome = Outcome::Connection(ErrorCode::COMPRESSION_ERROR);
const CALM: Outcome = Outcome::Connection(ErrorCode::ENHANCE_YOUR_CALM);
const STREAM_PROTOCOL: Outcome = Outcome::Stream(ErrorCode::PROTOCOL_ERROR);
const IGNORED: Outcome = Outcome::Ignored;
const TAKEN: Outcome = Outcome::Taken;

/// The same on both roles, on a connection where stream 1 is open.
#[test]
fn s4_and_6_every_frame_has_its_form() {
    let long = vec![0; 16_385];
    let cases: &[(&str, Vec<u8>, Outcome)] = &[
        ("4.1 unknown type", wire::frame(0xee, 0xff, 0, b"?"), IGNORED),
        ("4.1 unknown type on an idle stream", wire::frame(0xee, 0xff, 77, b"?"), IGNORED),
        ("4.1 unknown flags", wire::frame(kind::PING, 0xfe, 0, b"12345678"), IGNORED),
        ("4.2 longer than MAX_FRAME_SIZE", wire::data(NONE, 1, &long), SIZE),
        ("4.2 of an unknown type", wire::frame(0xee, NONE, 0, &long), SIZE),
        ("6.1 DATA on stream 0", wire::data(NONE, 0, b"x"), PROTOCOL),
        ("6.1 padding as long as the rest", wire::data(PADDED, 1, b"\x03abc"), IGNORED),
        ("6.1 padding longer than the rest", wire::data(PADDED, 1, b"\x04abc"), PROTOCOL),
        ("6.1 padded without a length", wire::data(PADDED, 1, b""), SIZE),
        ("6.2 HEADERS on stream 0", wire::headers(WHOLE, 0, b""), PROTOCOL),
        ("6.2 padding too long", wire::headers(WHOLE | PADDED, 1, b"\x05abc"), PROTOCOL),
        ("6.2 padded without a length", wire::headers(WHOLE | PADDED, 1, b""), SIZE),
        ("6.2 no room for the priority", wire::headers(WHOLE | 0x20, 1, b"1234"), SIZE),
        ("6.3 PRIORITY on stream 0", wire::priority(0, 1), PROTOCOL),
        ("6.3 short PRIORITY", wire::frame(kind::PRIORITY, NONE, 1, b"1234"), SIZE),
        ("6.3 PRIORITY on an idle stream", wire::priority(99, 1), IGNORED),
        ("5.3.1 of RFC 7540, on itself", wire::priority(1, 1), STREAM_PROTOCOL),
        ("6.4 RST_STREAM on stream 0", wire::reset(0, 8), PROTOCOL),
        ("6.4 short RST_STREAM", wire::frame(kind::RST_STREAM, NONE, 1, b"123"), SIZE),
        ("6.4 unknown code", wire::reset(1, 0xdead), TAKEN),
        ("6.5 SETTINGS on a stream", wire::frame(kind::SETTINGS, NONE, 1, b""), PROTOCOL),
        ("6.5 half a setting", wire::frame(kind::SETTINGS, NONE, 0, b"123"), SIZE),
        ("6.5 a setting in an ACK", wire::frame(kind::SETTINGS, END, 0, b"123456"), SIZE),
        ("6.5 an ACK nobody waits for", wire::ack(), IGNORED),
        ("6.5.2 ENABLE_PUSH of 2", wire::settings(&[(2, 2)]), PROTOCOL),
        (
            "6.5.2 INITIAL_WINDOW_SIZE too large",
            wire::settings(&[(4, 1 << 31)]),
            Outcome::Connection(ErrorCode::FLOW_CONTROL_ERROR),
        ),
        ("6.5.2 MAX_FRAME_SIZE too small", wire::settings(&[(5, 16_383)]), PROTOCOL),
        ("6.5.2 MAX_FRAME_SIZE too large", wire::settings(&[(5, 1 << 24)]), PROTOCOL),
        (
            "6.5.2 every setting",
            wire::settings(&[(1, 0), (3, 0), (4, 9), (5, 20_000), (6, 9)]),
            TAKEN,
        ),
        ("6.5.2 unknown setting", wire::settings(&[(0xff, 1)]), TAKEN),
        ("6.6 PUSH_PROMISE", wire::push(1, 2), PROTOCOL),
        ("6.7 PING on a stream", wire::frame(kind::PING, NONE, 1, b"12345678"), PROTOCOL),
        ("6.7 short PING", wire::ping(b"1234567"), SIZE),
        ("6.7 long PING", wire::ping(b"123456789"), SIZE),
        ("6.7 an answer", wire::pong(b"12345678"), TAKEN),
        ("6.8 GOAWAY on a stream", wire::frame(kind::GOAWAY, NONE, 1, &[0; 8]), PROTOCOL),
        ("6.8 short GOAWAY", wire::frame(kind::GOAWAY, NONE, 0, &[0; 7]), SIZE),
        ("6.8 GOAWAY", wire::go_away(0, 0), TAKEN),
        ("6.9 short WINDOW_UPDATE", wire::frame(kind::WINDOW_UPDATE, NONE, 1, b"123"), SIZE),
        ("6.9 long WINDOW_UPDATE", wire::frame(kind::WINDOW_UPDATE, NONE, 0, b"12345"), SIZE),
        ("6.10 CONTINUATION of nothing", wire::continuation(WHOLE, 1, b""), PROTOCOL),
        ("6.10 CONTINUATION on stream 0", wire::continuation(WHOLE, 0, b""), PROTOCOL),
    ];
    for role in [Role::Server, Role::Client] {
        for (name, bytes, expected) in cases {
            let mut peer = Peer::of(role);
            if role == Role::Server {
                peer.send(&wire::headers(WHOLE, 1, REQUEST));
            } else {
                peer.open("POST", false);
                peer.send(&wire::headers(WHOLE, 1, RESPONSE));
            }
            assert_eq!(peer.outcome(bytes), *expected, "{role:?}, {name}");
        }
    }
}

#[test]
fn s6_5_2_only_a_client_may_allow_pushes() {
    for entries in [&[(2, 1)][..], &[(2, 1), (2, 0)]] {
        assert_eq!(Peer::of(Role::Client).outcome(&wire::settings(entries)), PROTOCOL);
        assert_eq!(Peer::of(Role::Server).outcome(&wire::settings(entries)), TAKEN);
    }
    assert_eq!(Peer::of(Role::Client).outcome(&wire::settings(&[(2, 0)])), TAKEN);
}

#[test]
fn s3_4_introductions() {
    let mut server = Peer::before(Role::Server, Limits::edge());
    assert_eq!(server.sent()[0].kind, kind::SETTINGS);
    server.send(PREFACE).send(&wire::settings(&[(3, 7)])).send(&wire::ack());
    assert_eq!(server.take_events(), ["settings"]);
    assert!(server.conn.is_introduced());
    let sent = server.sent();
    assert_eq!((sent.len(), sent[0].kind, sent[0].flags), (1, kind::SETTINGS, END));

    let mut client = Peer::before(Role::Client, Limits::upstream());
    assert!(client.conn.output().bytes().starts_with(PREFACE));
    let sent = client.sent();
    assert_eq!(sent[0].kind, kind::SETTINGS);
    assert!(sent[0].payload.chunks(6).any(|entry| entry == [0, 2, 0, 0, 0, 0]), "no pushes");
    // What the connection's window has above the default is granted at once.
    assert_eq!((sent[1].kind, sent[1].number()), (kind::WINDOW_UPDATE, (4 << 20) - 65_535));
}

#[test]
fn s3_4_bad_introductions() {
    let early = [wire::ping(b"12345678"), wire::ack(), wire::headers(ALL, 1, REQUEST)];
    for first in early {
        for role in [Role::Client, Role::Server] {
            let mut peer = Peer::before(role, Limits::edge());
            if role == Role::Server {
                peer.send(PREFACE);
            }
            peer.send(&first);
            assert_eq!(peer.error.map(|error| error.code), Some(ErrorCode::PROTOCOL_ERROR));
        }
    }
    for wrong in ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx", "X"] {
        let mut peer = Peer::before(Role::Server, Limits::edge());
        peer.send(wrong.as_bytes());
        assert_eq!(peer.error.map(|error| error.code), Some(ErrorCode::PROTOCOL_ERROR), "{wrong}");
    }
}

#[test]
fn s4_2_frames_up_to_what_we_announced() {
    let limits = Limits { max_frame_size: 40_000, ..Limits::edge() };
    let mut peer = Peer::with(Role::Server, limits);
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
    assert_eq!(peer.outcome(&wire::data(NONE, 1, &[0; 40_000])), TAKEN);
    assert_eq!(peer.outcome(&wire::data(NONE, 1, &[0; 40_001])), SIZE);
}

#[test]
fn s4_3_header_blocks() {
    let parts: Vec<_> = REQUEST.chunks(1).collect();
    let mut pieces = wire::headers(END, 1, parts[0]);
    for part in &parts[1..] {
        pieces.extend(wire::continuation(NONE, 1, part));
    }
    let cases: &[(&str, Vec<u8>, Outcome)] = &[
        ("in pieces", [&pieces[..], &wire::continuation(WHOLE, 1, b"")].concat(), TAKEN),
        ("interrupted by DATA", [&pieces[..], &wire::data(NONE, 1, b"x")].concat(), PROTOCOL),
        ("interrupted by PING", [&pieces[..], &wire::ping(b"12345678")].concat(), PROTOCOL),
        (
            "interrupted by an unknown frame",
            [&pieces[..], &wire::frame(99, 0, 0, b"")].concat(),
            PROTOCOL,
        ),
        (
            "interrupted by HEADERS",
            [&pieces[..], &wire::headers(ALL, 3, REQUEST)].concat(),
            PROTOCOL,
        ),
        ("on another stream", [&pieces[..], &wire::continuation(WHOLE, 3, b"")].concat(), PROTOCOL),
        (
            "padded and with priority",
            wire::headers(
                ALL | PADDED | 0x20,
                1,
                &[&[2, 0, 0, 0, 3, 9], REQUEST, b"\0\0"].concat(),
            ),
            TAKEN,
        ),
        (
            "dependent on itself",
            wire::headers(ALL | 0x20, 1, &[&[0, 0, 0, 1, 9], REQUEST].concat()),
            STREAM_PROTOCOL,
        ),
        ("an index of neither table", wire::headers(ALL, 1, b"\xff\xff\x0f"), COMPRESSION),
        ("truncated", wire::headers(ALL, 1, b"\x40\x0aabc"), COMPRESSION),
        ("a late size update", wire::headers(ALL, 1, &[REQUEST, b"\x20"].concat()), COMPRESSION),
        (
            "a size update too large",
            wire::headers(ALL, 1, &[b"\x3f\xe2\x1f", REQUEST].concat()),
            COMPRESSION,
        ),
        ("a size update", wire::headers(ALL, 1, &[b"\x20", REQUEST].concat()), TAKEN),
        (
            "padding that is not zero",
            wire::headers(ALL | PADDED, 1, &[&[1], REQUEST, b"!"].concat()),
            TAKEN,
        ),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(Peer::of(Role::Server).outcome(bytes), *expected, "{name}");
    }
}

#[test]
fn s4_3_the_table_goes_on_when_a_block_is_not_wanted() {
    let mut peer = Peer::with(Role::Server, Limits { max_streams: 1, ..Limits::edge() });
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
    // The refused request adds an entry, which the next one refers to.
    let adds = [REQUEST, b"\x40\x01k\x01v"].concat();
    assert_eq!(
        peer.outcome(&wire::headers(ALL, 3, &adds)),
        Outcome::Stream(ErrorCode::REFUSED_STREAM)
    );
    peer.send(&wire::reset(1, 8));
    assert_eq!(peer.outcome(&wire::headers(ALL, 5, &[REQUEST, b"\xbf"].concat())), TAKEN);
}

#[test]
fn s6_2_the_sizes_of_header_lists() {
    let limits = Limits { header_size: 1000, header_count: 20, ..Limits::edge() };
    let list = |count: usize| {
        let fields = vec![("n", "v"); count];
        wire::request(&fields)
    };
    let long = |len: usize| {
        let value = "v".repeat(100);
        let fields = vec![("n", value.as_str()); len / 133];
        wire::request(&fields)
    };
    for (block, expected) in [
        (list(16), "request 1 end"),
        (list(17), "oversized 1"),
        (list(76), "oversized 1"),
        (long(700), "request 1 end"),
        (long(1000), "oversized 1"),
        (long(3500), "oversized 1"),
    ] {
        let mut peer = Peer::with(Role::Server, limits.clone());
        assert_eq!(peer.outcome(&wire::headers(ALL, 1, &block)), TAKEN);
        assert_eq!(peer.take_events(), [expected]);
    }
    for block in [list(77), long(4200)] {
        let mut peer = Peer::with(Role::Server, limits.clone());
        assert_eq!(peer.outcome(&wire::headers(ALL, 1, &block)), CALM);
    }
    // A client's stream ends for it.
    let mut peer = Peer::with(Role::Client, limits);
    peer.open("GET", true);
    let response = wire::response(&[("n", "v"); 30]);
    let calm = Outcome::Stream(ErrorCode::ENHANCE_YOUR_CALM);
    assert_eq!(peer.outcome(&wire::headers(ALL, 1, &response)), calm);
}

#[test]
fn s6_7_pings_are_answered_with_what_they_carry() {
    let mut peer = Peer::of(Role::Client);
    peer.send(&wire::ping(b"abcdefgh"));
    let sent = peer.sent();
    assert_eq!(
        (sent[0].kind, sent[0].flags, &sent[0].payload[..]),
        (kind::PING, END, &b"abcdefgh"[..])
    );
    peer.conn.ping(*b"12345678");
    assert_eq!(peer.sent()[0].flags, NONE);
    peer.send(&wire::pong(b"12345678"));
    assert_eq!(peer.take_events(), ["pong 12345678"]);
}
