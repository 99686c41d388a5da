//! RFC 9113, sections 5.2, 6.5.3 and 6.9: windows.

use super::peer::{Outcome, Peer};
use super::wire::{self, ALL, END, NONE, PADDED, REQUEST, RESPONSE, Sent, WHOLE};
use crate::http::{Connection as _, ErrorCode, Key, Limits, Role};
use crate::http2::frame::kind;

const MAX_WINDOW: u32 = (1 << 31) - 1;
const FLOW: Outcome = Outcome::Connection(ErrorCode::FLOW_CONTROL_ERROR);

/// How many bytes of DATA there are on a stream.
fn data_in(sent: &[Sent], stream: u32) -> usize {
    let data = |frame: &&Sent| frame.kind == kind::DATA && frame.stream == stream;
    sent.iter().filter(data).map(|frame| frame.payload.len()).sum()
}

/// What is granted on a stream.
fn granted_in(sent: &[Sent], stream: u32) -> u32 {
    let grant = |frame: &&Sent| frame.kind == kind::WINDOW_UPDATE && frame.stream == stream;
    sent.iter().filter(grant).map(Sent::number).sum()
}

/// A server with requests on these streams that it is answering.
fn answering(settings: &[(u16, u32)], streams: &[u32]) -> (Peer, Vec<Key>) {
    let mut peer = Peer::of(Role::Server);
    peer.send(&wire::settings(settings));
    for &id in streams {
        peer.send(&wire::headers(ALL, id, REQUEST));
    }
    for key in peer.keys.clone() {
        peer.respond(key, false);
    }
    peer.sent();
    let keys = peer.keys.clone();
    (peer, keys)
}

#[test]
fn s6_9_updates_of_a_window() {
    let update = |stream, by| wire::window(stream, by);
    let cases = [
        ("of a stream by 0", update(1, 0), Outcome::Stream(ErrorCode::PROTOCOL_ERROR)),
        ("of the connection by 0", update(0, 0), Outcome::Connection(ErrorCode::PROTOCOL_ERROR)),
        (
            "of a stream too far",
            update(1, MAX_WINDOW),
            Outcome::Stream(ErrorCode::FLOW_CONTROL_ERROR),
        ),
        ("of the connection too far", update(0, MAX_WINDOW), FLOW),
        (
            "as far as can be",
            [update(1, MAX_WINDOW - 65_535), update(0, MAX_WINDOW - 65_535)].concat(),
            Outcome::Ignored,
        ),
        ("the reserved bit", update(1, 1 << 31 | 1), Outcome::Ignored),
    ];
    for (name, bytes, expected) in cases {
        let (mut peer, _) = answering(&[], &[1]);
        assert_eq!(peer.outcome(&bytes), expected, "{name}");
    }
}

#[test]
fn s6_9_1_no_more_is_sent_than_windows_allow() {
    let (mut peer, keys) = answering(&[(4, 10)], &[1, 3]);
    assert_eq!(peer.conn.send_data(keys[0], &[7; 25], false), Ok(10));
    assert_eq!((data_in(&peer.sent(), 1), peer.conn.pending_bytes()), (10, 15));
    // Other streams are not blocked.
    assert_eq!(peer.conn.send_data(keys[1], &[7; 4], true), Ok(4));
    assert_eq!(data_in(&peer.sent(), 3), 4);
    peer.send(&wire::window(1, 5));
    assert_eq!(data_in(&peer.sent(), 1), 5);
    assert_eq!(peer.conn.next_drained(), Some((keys[0], 5)));
    assert_eq!(peer.conn.slowest().map(|(_, key)| key), Some(keys[0]));
    peer.conn.send_data(keys[0], &[], true).unwrap();
    peer.send(&wire::window(1, 100));
    let sent = peer.sent();
    assert_eq!((data_in(&sent, 1), sent[0].flags), (10, END));
    assert_eq!((peer.conn.pending_bytes(), peer.conn.open_streams()), (0, 0));
}

#[test]
fn s6_9_1_the_connections_window_holds_all_up() {
    let (mut peer, keys) = answering(&[(4, 1 << 20)], &[1, 3]);
    peer.conn.send_data(keys[0], &[7; 65_000], false).unwrap();
    peer.conn.send_data(keys[1], &[7; 1000], false).unwrap();
    peer.conn.send_data(keys[0], &[7; 1000], false).unwrap();
    let sent = peer.sent();
    assert_eq!((data_in(&sent, 1), data_in(&sent, 3)), (65_000, 535));
    peer.send(&wire::window(0, 800));
    let sent = peer.sent();
    assert_eq!(data_in(&sent, 1) + data_in(&sent, 3), 800);
    peer.send(&wire::window(0, 10_000));
    assert_eq!(peer.conn.pending_bytes(), 0);
}

#[test]
fn s6_9_1_an_end_and_trailers_need_no_window() {
    let (mut peer, keys) = answering(&[(4, 0)], &[1, 3]);
    assert_eq!(peer.conn.send_data(keys[0], &[], true), Ok(0));
    let trailers = crate::http::Headers::new();
    peer.conn.send_trailers(keys[1], &trailers).unwrap();
    let kinds: Vec<_> = peer.sent().iter().map(|frame| (frame.kind, frame.flags)).collect();
    assert_eq!(kinds, [(kind::DATA, END), (kind::HEADERS, ALL)]);
}

#[test]
fn s6_9_2_a_new_initial_size_changes_every_open_stream() {
    let (mut peer, keys) = answering(&[(4, 100)], &[1, 3]);
    peer.conn.send_data(keys[0], &[7; 100], false).unwrap();
    assert_eq!(data_in(&peer.sent(), 1), 100);
    // The window is -40, then -30, then 1.
    peer.send(&wire::settings(&[(4, 60)]));
    peer.conn.send_data(keys[0], &[7; 50], false).unwrap();
    peer.conn.send_data(keys[1], &[7; 70], false).unwrap();
    peer.send(&wire::window(1, 10));
    let sent = peer.sent();
    assert_eq!((data_in(&sent, 1), data_in(&sent, 3)), (0, 60));
    peer.send(&wire::settings(&[(4, 91)]));
    let sent = peer.sent();
    assert_eq!((data_in(&sent, 1), data_in(&sent, 3)), (1, 10));
    peer.send(&wire::settings(&[(4, MAX_WINDOW)]));
    assert_eq!(peer.conn.pending_bytes(), 0);
}

#[test]
fn s6_9_2_a_new_initial_size_may_overflow() {
    let (mut peer, _) = answering(&[], &[1]);
    peer.send(&wire::window(1, 100));
    assert_eq!(peer.outcome(&wire::settings(&[(4, MAX_WINDOW)])), FLOW);
}

#[test]
fn s6_9_1_a_peer_that_sends_too_much() {
    let limits = Limits { stream_window: 100_000, ..Limits::edge() };
    let chunk = wire::data(NONE, 1, &[0; 10_000]);
    let mut peer = Peer::with(Role::Server, limits.clone());
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
    for _ in 0..10 {
        peer.send(&chunk);
    }
    assert_eq!(
        peer.outcome(&wire::data(NONE, 1, b"x")),
        Outcome::Stream(ErrorCode::FLOW_CONTROL_ERROR)
    );

    // Padding counts, and comes back by itself.
    let mut peer = Peer::with(Role::Server, limits);
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
    let padded = wire::data(PADDED, 1, &[&[250, b'x'], &[0; 250][..]].concat());
    for _ in 0..1000 {
        peer.send(&padded);
    }
    let granted = granted_in(&peer.sent(), 1);
    assert_eq!((peer.error, granted / 50_000), (None, 251_000 / 50_000));
}

#[test]
fn s6_9_1_the_connections_window_comes_back_at_once_the_streams_when_released() {
    let limits = Limits { connection_window: 65_535, stream_window: 1 << 20, ..Limits::edge() };
    let mut peer = Peer::with(Role::Server, limits);
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
    for _ in 0..40 {
        peer.send(&wire::data(NONE, 1, &[0; 16_384]));
    }
    let sent = peer.sent();
    let total = 40 * 16_384;
    assert!(granted_in(&sent, 0) > total - 32_768 && granted_in(&sent, 0) <= total);
    assert_eq!(granted_in(&sent, 1), 0);
    let key = peer.keys[0];
    peer.conn.release(key, (1 << 19) - 1);
    assert_eq!(granted_in(&peer.sent(), 1), 0);
    peer.conn.release(key, 1);
    assert_eq!(granted_in(&peer.sent(), 1), 1 << 19);
}

#[test]
fn s6_9_1_a_connection_is_overrun() {
    // Nothing is granted before half of it is used, so there is always room for a frame.
    let limits = Limits { connection_window: 65_535, max_frame_size: 100_000, ..Limits::edge() };
    let mut peer = Peer::with(Role::Server, limits);
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
    assert_eq!(peer.outcome(&wire::data(NONE, 1, &[0; 65_536])), FLOW);
}

#[test]
fn s6_9_late_data_is_granted_to_the_connection() {
    let mut peer = Peer::with(Role::Client, Limits { connection_window: 65_535, ..Limits::edge() });
    let key = peer.open("GET", true);
    peer.send(&wire::headers(WHOLE, 1, RESPONSE));
    peer.conn.reset(key, ErrorCode::CANCEL);
    peer.sent();
    for _ in 0..10 {
        peer.send(&wire::data(NONE, 1, &[0; 10_000]));
    }
    assert_eq!((peer.error, granted_in(&peer.sent(), 0)), (None, 80_000));
}

#[test]
fn s6_5_3_before_we_are_acknowledged_a_peer_may_go_by_the_default() {
    let mut peer = Peer::before(Role::Server, Limits { stream_window: 1024, ..Limits::edge() });
    peer.send(crate::http2::PREFACE).send(&wire::settings(&[]));
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
    for _ in 0..4 {
        peer.send(&wire::data(NONE, 1, &[0; 16_000]));
    }
    assert_eq!(peer.take_events().len(), 6);
    peer.send(&wire::ack()).send(&wire::headers(WHOLE, 3, REQUEST));
    let over = Outcome::Stream(ErrorCode::FLOW_CONTROL_ERROR);
    assert_eq!(peer.outcome(&wire::data(NONE, 3, &[0; 1025])), over);
}

#[test]
fn s6_5_3_what_the_peer_sets_holds_when_we_acknowledge() {
    let mut peer = Peer::of(Role::Client);
    peer.send(&wire::settings(&[(4, 5), (6, 200)]));
    assert_eq!(peer.sent()[0].flags, END);
    let key = peer.open("POST", false);
    assert_eq!(peer.conn.send_data(key, b"more than five", false), Ok(5));
    let mut head = crate::http::Headers::new();
    head.add_named(b"x", &[b'v'; 168]);
    assert_eq!(peer.conn.open(&head, true, 0), Err(crate::http::OpenError::TooLarge));
    assert_eq!(peer.conn.send_trailers(key, &head), Err(crate::http::SendError::TooLarge));
}

#[test]
fn s6_5_2_the_table_of_the_peer() {
    // RFC 7541, section 4.2: the smallest size in between is announced, then the last one.
    let mut peer = Peer::of(Role::Client);
    peer.send(&wire::settings(&[(1, 0), (1, 4096)]));
    peer.sent();
    peer.open("GET", true);
    assert!(peer.sent()[0].payload.starts_with(b"\x20\x3f\xe1\x1f"));
    peer.open("GET", true);
    assert!(!peer.sent()[0].payload.starts_with(b"\x20"));
}
