//! Requests that are cancelled before, while and after they are written.

use super::peer::Peer;
use super::wire::{self, ALL, NONE, RESPONSE, Sent, WHOLE};
use crate::http::{Connection as _, ErrorCode, Headers, Key, Name, Role};
use crate::http2::frame::kind;

/// Opens a stream with a field that the table may learn.
fn open(peer: &mut Peer, path: &str, end: bool) -> Key {
    let mut head = Headers::new();
    head.add(Name::Method, b"POST");
    head.add(Name::Scheme, b"http");
    head.add(Name::Path, path.as_bytes());
    peer.conn.open(&head, end, peer.now).unwrap()
}

/// A client whose table knows `/known`, on stream 1.
fn client() -> Peer {
    let mut peer = Peer::of(Role::Client);
    open(&mut peer, "/known", true);
    peer.sent();
    peer
}

fn streams(sent: &[Sent]) -> Vec<(u8, u32)> {
    sent.iter().map(|frame| (frame.kind, frame.stream)).collect()
}

#[test]
fn unwritten_requests_are_taken_back() {
    let mut peer = client();
    let [three, five, seven] = [(); 3].map(|()| open(&mut peer, "/known", false));
    for key in [five, three, five, seven, five] {
        peer.conn.send_data(key, b"body", false).unwrap();
    }
    let (before, len) = (peer.conn.available(), peer.conn.output_len());
    assert!(peer.conn.take_back(five));
    assert!(!peer.conn.take_back(five), "it is gone");
    assert_eq!(peer.conn.available(), before + 1);
    assert!(peer.conn.output_len() < len - 36);
    peer.conn.send_data(seven, b"more", false).unwrap();
    // Those that were moved forward can be taken back too.
    assert!(peer.conn.take_back(three));
    let sent = peer.sent();
    assert_eq!(streams(&sent), [(kind::HEADERS, 7), (kind::DATA, 7), (kind::DATA, 7)]);
    // The connection's window has the bytes of the others again.
    peer.send(&wire::window(seven.id(), 1 << 20));
    assert_eq!(peer.conn.send_data(seven, &[0; 100_000], false), Ok(65_535 - 8));
    assert!(!peer.conn.take_back(seven), "it has left");
}

#[test]
fn a_head_that_the_peers_table_learns_from_stays() {
    let mut peer = client();
    let first = open(&mut peer, "/new", true);
    let second = open(&mut peer, "/new", false);
    assert!(!peer.conn.take_back(first), "the second refers to it");
    assert!(peer.conn.take_back(second));
    let third = open(&mut peer, "/new", false);
    let mut trailers = Headers::new();
    trailers.add_named(b"x-new", b"1");
    peer.conn.send_trailers(third, &trailers).unwrap();
    assert!(!peer.conn.take_back(third), "later ones may refer to its trailers");
    // A table size update precedes the next block, which therefore has to be sent.
    peer.sent();
    peer.send(&wire::settings(&[(1, 0), (1, 4096)]));
    peer.sent();
    let fourth = open(&mut peer, "/known", true);
    assert!(!peer.conn.take_back(fourth));
}

#[test]
fn partly_written_requests_are_not_taken_back() {
    let mut peer = client();
    let three = open(&mut peer, "/known", true);
    let five = open(&mut peer, "/known", true);
    assert_eq!(peer.conn.resettable_from(three), None);
    let all = peer.conn.output().bytes().to_vec();
    peer.conn.output().advance(1);
    assert!(!peer.conn.take_back(three));
    assert_eq!(peer.conn.resettable_from(three), None, "the rest of it is here");
    assert!(peer.conn.take_back(five));
    let rest = peer.conn.output().bytes().to_vec();
    peer.conn.output().advance(rest.len());
    assert_eq!(rest, all[1..=rest.len()]);
    assert_eq!(peer.conn.resettable_from(three), Some(20));
}

#[test]
fn a_reset_waits_until_the_stream_can_have_been_accepted() {
    let mut peer = client();
    peer.now = 1000;
    let key = open(&mut peer, "/known", false);
    assert_eq!(peer.conn.resettable_from(key), None);
    peer.sent();
    assert_eq!(peer.conn.resettable_from(key), Some(1020));
    peer.send(&wire::headers(WHOLE, key.id(), RESPONSE));
    assert_eq!(peer.conn.resettable_from(key), Some(0), "it was, as it is answered");
}

#[test]
fn nothing_more_is_sent_of_an_abandoned_stream() {
    let mut peer = client();
    let key = open(&mut peer, "/known", false);
    peer.conn.send_data(key, &[0; 100_000], true).unwrap();
    peer.sent();
    assert!(peer.conn.pending_bytes() > 0);
    peer.conn.abandon(key);
    assert_eq!((peer.conn.pending_bytes(), peer.conn.is_busy()), (0, true), "stream 1 is wanted");
    peer.send(&wire::window(0, 1 << 20)).send(&wire::window(key.id(), 1 << 20));
    assert_eq!(peer.sent(), []);
    // The backend may continue and end; since our END_STREAM is missing, a reset is due.
    peer.send(&wire::headers(WHOLE, key.id(), RESPONSE)).send(&wire::data(NONE, key.id(), b"x"));
    peer.send(&wire::headers(ALL, key.id(), &wire::block(&[("grpc-status", "0")])));
    assert!(peer.conn.is_open(key));
    peer.conn.reset(key, ErrorCode::CANCEL);
    assert_eq!(streams(&peer.sent()).last(), Some(&(kind::RST_STREAM, key.id())));
    assert_eq!(peer.conn.resets_sent(), 1);
}
