//! RFC 9113, sections 5.4.1, 6.8 and 9.1: how connections end.

use super::peer::{Outcome, Peer};
use super::wire::{self, ALL, NONE, REQUEST, RESPONSE, Sent, WHOLE};
use crate::http::{Connection as _, Role};
use crate::http2::frame::kind;

const MAX_WINDOW: u32 = (1 << 31) - 1;

/// The last stream of each GOAWAY.
fn lasts(sent: &[Sent]) -> Vec<u32> {
    sent.iter().filter(|frame| frame.kind == kind::GOAWAY).map(Sent::number).collect()
}

#[test]
fn s6_8_a_server_leaves_in_two_phases() {
    let mut peer = Peer::of(Role::Server);
    peer.send(&wire::headers(ALL, 1, REQUEST));
    peer.conn.announce_leave(*b"leaving!");
    let sent = peer.sent();
    assert_eq!((lasts(&sent), sent[1].kind), (vec![MAX_WINDOW], kind::PING));
    assert!(!peer.conn.is_leaving());
    // Frames that were in flight are still accepted.
    assert_eq!(peer.outcome(&wire::headers(WHOLE, 3, REQUEST)), Outcome::Taken);
    peer.send(&wire::pong(b"leaving!"));
    assert_eq!(peer.take_events().last().unwrap(), "pong leaving!");
    peer.conn.leave();
    assert_eq!(lasts(&peer.sent()), [3]);
    assert!(peer.conn.is_leaving());
    // Later streams are ignored, whatever is sent on them; earlier ones continue.
    for late in [
        wire::headers(WHOLE, 5, REQUEST),
        wire::data(NONE, 5, b"x"),
        wire::headers(ALL, 5, &wire::block(&[("x", "y")])),
        wire::headers(WHOLE, 7, REQUEST),
    ] {
        assert_eq!(peer.outcome(&late), Outcome::Ignored);
    }
    assert_eq!(peer.outcome(&wire::data(NONE, 3, b"x")), Outcome::Taken);
    assert_eq!(peer.conn.open_streams(), 2);
}

#[test]
fn s6_8_the_last_stream_never_grows() {
    let mut peer = Peer::of(Role::Server);
    peer.send(&wire::headers(ALL, 1, REQUEST));
    peer.conn.leave();
    peer.conn.announce_leave(*b"12345678");
    peer.conn.leave();
    peer.send(&wire::headers(ALL, 9, REQUEST)).send(&wire::ping(b"short"));
    assert_eq!(lasts(&peer.sent()), [1, 1]);
}

#[test]
fn s6_8_a_client_learns_which_streams_were_not_processed() {
    let mut peer = Peer::of(Role::Client);
    for _ in 0..4 {
        peer.open("GET", true);
    }
    peer.send(&wire::go_away(MAX_WINDOW, 0));
    assert_eq!((peer.take_events(), peer.conn.available()), (vec!["goaway 0".to_owned()], 0));
    peer.send(&wire::go_away(3, 2));
    let mut told = peer.take_events();
    told.sort();
    assert_eq!(told, ["goaway 2", "reset 5 7 Unprocessed", "reset 7 7 Unprocessed"]);
    assert_eq!(peer.conn.open_streams(), 2);
    assert!(peer.conn.is_leaving());
    peer.send(&wire::headers(ALL, 1, RESPONSE));
    assert_eq!(peer.take_events(), ["response 1 end"]);
}

#[test]
fn s6_8_a_client_that_leaves_is_answered() {
    let mut peer = Peer::of(Role::Server);
    peer.send(&wire::headers(ALL, 1, REQUEST)).send(&wire::go_away(0, 0));
    assert_eq!(peer.take_events(), ["request 1 end", "goaway 0"]);
    peer.respond(peer.keys[0], true);
    assert_eq!(peer.conn.open_streams(), 0);
}

#[test]
fn s6_8_a_client_with_open_streams_sends_no_goaway() {
    let mut peer = Peer::of(Role::Client);
    let key = peer.open("GET", true);
    peer.sent();
    peer.conn.leave();
    assert_eq!((lasts(&peer.sent()), peer.conn.is_leaving()), (Vec::new(), true));
    peer.send(&wire::headers(ALL, key.id(), RESPONSE));
    assert_eq!((peer.take_events(), peer.conn.open_streams()), (vec!["response 1 end".into()], 0));

    let mut idle = Peer::of(Role::Client);
    idle.conn.leave();
    assert_eq!(lasts(&idle.sent()), [0]);
}

#[test]
fn s5_4_1_nothing_goes_on_after_an_error() {
    let mut peer = Peer::of(Role::Client);
    let key = peer.open("POST", false);
    peer.send(&wire::data(NONE, 0, b"x"));
    let sent = peer.sent();
    assert_eq!(lasts(&sent), [0]);
    assert_eq!((peer.conn.available(), peer.conn.is_leaving()), (0, true));
    peer.take_events();
    peer.send(&wire::headers(ALL, key.id(), RESPONSE));
    peer.conn.leave();
    peer.conn.announce_leave(*b"12345678");
    assert_eq!((peer.take_events().len(), peer.sent()), (0, Vec::new()));
}
