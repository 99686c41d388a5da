//! RFC 9113, section 5.1: every frame in every state of a stream, both roles.

use super::peer::{Outcome, Peer};
use super::wire::{self, ALL, END, NONE, REQUEST, RESPONSE, WHOLE};
use crate::http::{Connection as _, ErrorCode, Limits, Role};

const PROTOCOL: Outcome = Outcome::Connection(ErrorCode::PROTOCOL_ERROR);
const CLOSED: Outcome = Outcome::Connection(ErrorCode::STREAM_CLOSED);
const STREAM_PROTOCOL: Outcome = Outcome::Stream(ErrorCode::PROTOCOL_ERROR);
const STREAM_CLOSED: Outcome = Outcome::Stream(ErrorCode::STREAM_CLOSED);
const IGNORED: Outcome = Outcome::Ignored;
const TAKEN: Outcome = Outcome::Taken;

type Row = (&'static str, fn(&mut Peer), [Outcome; 7]);

/// The frames of the columns, on stream 1.
fn columns(role: Role) -> [(&'static str, Vec<u8>); 7] {
    let head = if role == Role::Server { REQUEST } else { RESPONSE };
    [
        ("DATA", wire::data(NONE, 1, b"x")),
        ("HEADERS", wire::headers(WHOLE, 1, head)),
        ("PRIORITY", wire::priority(1, 0)),
        ("RST_STREAM", wire::reset(1, 8)),
        ("PUSH_PROMISE", wire::push(1, 2)),
        ("WINDOW_UPDATE", wire::window(1, 1)),
        ("CONTINUATION", wire::continuation(WHOLE, 1, head)),
    ]
}

#[rustfmt::skip]
const SERVER: [Row; 8] = [
    // state                     DATA           HEADERS          PRIORITY RST_STREAM PUSH    WINDOW_UPDATE CONTINUATION
    ("idle", |_| {},            [PROTOCOL,      TAKEN,           IGNORED, PROTOCOL, PROTOCOL, PROTOCOL, PROTOCOL]),
    ("open", open,              [TAKEN,         STREAM_PROTOCOL, IGNORED, TAKEN,    PROTOCOL, IGNORED,  PROTOCOL]),
    ("half-closed (local)", |peer| { open(peer); peer.respond(peer.keys[0], true); },
                                [TAKEN,         STREAM_PROTOCOL, IGNORED, TAKEN,    PROTOCOL, IGNORED,  PROTOCOL]),
    ("half-closed (remote)", ended,
                                [STREAM_CLOSED, STREAM_CLOSED,   IGNORED, TAKEN,    PROTOCOL, IGNORED,  PROTOCOL]),
    ("closed by both ends", |peer| { ended(peer); peer.respond(peer.keys[0], true); },
                                [CLOSED,        CLOSED,          IGNORED, IGNORED,  PROTOCOL, IGNORED,  PROTOCOL]),
    ("closed by the peer's reset", |peer| { open(peer); peer.send(&wire::reset(1, 8)); },
                                [CLOSED,        CLOSED,          IGNORED, IGNORED,  PROTOCOL, IGNORED,  PROTOCOL]),
    ("closed by our reset", |peer| { open(peer); peer.conn.reset(peer.keys[0], ErrorCode::CANCEL); },
                                [IGNORED,       IGNORED,         IGNORED, IGNORED,  PROTOCOL, IGNORED,  PROTOCOL]),
    ("closed by a higher id", |peer| { peer.send(&wire::headers(ALL, 3, REQUEST)); },
                                [CLOSED,        CLOSED,          IGNORED, IGNORED,  PROTOCOL, IGNORED,  PROTOCOL]),
];

#[rustfmt::skip]
const CLIENT: [Row; 7] = [
    ("idle", |_| {},            [PROTOCOL,      PROTOCOL,        IGNORED, PROTOCOL, PROTOCOL, PROTOCOL, PROTOCOL]),
    ("open, no head", |peer| { peer.open("POST", false); },
                                [STREAM_PROTOCOL, TAKEN,         IGNORED, TAKEN,    PROTOCOL, IGNORED,  PROTOCOL]),
    ("open", |peer| { peer.open("POST", false); head(peer); },
                                [TAKEN,         STREAM_PROTOCOL, IGNORED, TAKEN,    PROTOCOL, IGNORED,  PROTOCOL]),
    ("half-closed (local)", |peer| { peer.open("GET", true); head(peer); },
                                [TAKEN,         STREAM_PROTOCOL, IGNORED, TAKEN,    PROTOCOL, IGNORED,  PROTOCOL]),
    ("half-closed (remote)", |peer| { peer.open("POST", false); peer.send(&wire::headers(ALL, 1, RESPONSE)); },
                                [STREAM_CLOSED, STREAM_CLOSED,   IGNORED, TAKEN,    PROTOCOL, IGNORED,  PROTOCOL]),
    // Late frames to a client are counted and dropped, since the connection is shared.
    ("closed by both ends", |peer| { peer.open("GET", true); peer.send(&wire::headers(ALL, 1, RESPONSE)); },
                                [IGNORED,       IGNORED,         IGNORED, IGNORED,  PROTOCOL, IGNORED,  PROTOCOL]),
    ("closed by our reset", |peer| { let key = peer.open("GET", true); peer.conn.reset(key, ErrorCode::CANCEL); },
                                [IGNORED,       IGNORED,         IGNORED, IGNORED,  PROTOCOL, IGNORED,  PROTOCOL]),
];

fn open(peer: &mut Peer) {
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
}

fn ended(peer: &mut Peer) {
    peer.send(&wire::headers(ALL, 1, REQUEST));
}

fn head(peer: &mut Peer) {
    peer.send(&wire::headers(WHOLE, 1, RESPONSE));
}

#[test]
fn s5_1_every_frame_in_every_state() {
    for (role, rows) in [(Role::Server, &SERVER[..]), (Role::Client, &CLIENT[..])] {
        for (state, reach, expected) in rows {
            for ((kind, bytes), expected) in columns(role).into_iter().zip(expected) {
                let mut peer = Peer::of(role);
                reach(&mut peer);
                assert_eq!(peer.error, None, "{state}");
                assert_eq!(peer.outcome(&bytes), *expected, "{role:?}, {state}, {kind}");
            }
        }
    }
}

#[test]
fn s5_1_a_stream_error_leaves_nothing_behind() {
    let mut peer = Peer::of(Role::Server);
    peer.send(&wire::headers(WHOLE, 1, REQUEST)).send(&wire::window(1, 0));
    assert_eq!(peer.take_events(), ["request 1", "reset 1 1 Malformed(\"WINDOW_UPDATE by 0\")"]);
    assert_eq!((peer.conn.open_streams(), peer.conn.is_busy()), (0, false));
}

#[test]
fn s5_1_frames_in_flight_to_streams_that_we_reset_are_dropped() {
    let limits = Limits::internal();
    let many = limits.max_streams;
    let mut peer = Peer::with(Role::Server, limits);
    for nth in 0..many {
        peer.send(&wire::headers(WHOLE, 2 * nth + 1, REQUEST));
    }
    for key in peer.keys.clone() {
        peer.conn.reset(key, ErrorCode::CANCEL);
    }
    for nth in 0..many {
        let id = 2 * nth + 1;
        peer.send(&wire::data(NONE, id, b"late"));
        peer.send(&wire::headers(ALL, id, &wire::block(&[("x", "y")])));
    }
    assert_eq!((peer.error, peer.take_events().len()), (None, many as usize));
}

#[test]
fn s5_1_1_stream_ids() {
    let cases = [
        ("even", vec![wire::headers(ALL, 2, REQUEST)], PROTOCOL),
        ("lower", vec![wire::headers(ALL, 5, REQUEST), wire::headers(ALL, 3, REQUEST)], CLOSED),
        ("gap", vec![wire::headers(ALL, 5, REQUEST), wire::headers(ALL, 105, REQUEST)], TAKEN),
        ("highest", vec![wire::headers(ALL, (1 << 31) - 1, REQUEST)], TAKEN),
        ("stream 0", vec![wire::headers(ALL, 0, REQUEST)], PROTOCOL),
        ("reserved bit", vec![wire::headers(ALL, 1 << 31 | 1, REQUEST)], TAKEN),
    ];
    for (name, frames, expected) in cases {
        assert_eq!(Peer::of(Role::Server).outcome(&frames.concat()), expected, "{name}");
    }
}

#[test]
fn s5_1_1_a_client_runs_out_of_ids() {
    let mut peer = Peer::with(Role::Client, Limits { resets: u32::MAX, ..Limits::upstream() });
    assert_eq!(peer.open("GET", true).id(), 1);
    assert_eq!(peer.open("GET", true).id(), 3);
    peer.conn.begin_at((1 << 31) - 1);
    assert_eq!(peer.open("GET", true).id(), (1 << 31) - 1);
    assert!(peer.conn.is_leaving());
    assert_eq!(peer.conn.available(), 0);
}

#[test]
fn s5_1_2_more_streams_than_announced_are_refused() {
    let mut peer = Peer::with(Role::Server, Limits { max_streams: 2, ..Limits::edge() });
    peer.send(&wire::headers(WHOLE, 1, REQUEST)).send(&wire::headers(WHOLE, 3, REQUEST));
    let third = wire::headers(WHOLE, 5, REQUEST);
    assert_eq!(peer.outcome(&third), Outcome::Stream(ErrorCode::REFUSED_STREAM));
    // Its DATA was in flight; the HPACK table stays in sync.
    assert_eq!(peer.outcome(&wire::data(END, 5, b"x")), IGNORED);
    peer.send(&wire::reset(1, 8));
    assert_eq!(peer.outcome(&wire::headers(WHOLE, 7, REQUEST)), TAKEN);
}

#[test]
fn s5_1_2_a_client_keeps_to_what_the_server_allows() {
    let mut peer = Peer::before(Role::Client, Limits::upstream());
    assert_eq!(peer.conn.available(), 0);
    peer.send(&wire::settings(&[(3, 2)]));
    let first = peer.open("GET", true);
    peer.open("GET", true);
    assert_eq!(peer.conn.available(), 0);
    peer.send(&wire::settings(&[(3, 1)]));
    peer.conn.reset(first, ErrorCode::CANCEL);
    assert_eq!(peer.conn.available(), 0);
    peer.send(&wire::settings(&[(3, 5)]));
    assert_eq!(peer.conn.available(), 4);
}
