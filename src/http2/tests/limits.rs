//! Each limit: one beyond it causes the right fault, anything below does not.

use std::sync::Arc;

use super::peer::Peer;
use super::wire::{self, ALL, END, NONE, PADDED, REQUEST, RESPONSE, WHOLE};
use crate::http::{Connection as _, ErrorCode, Fault, Limits, Role};
use crate::http2::flood_guard::FloodGuard;
use crate::http2::frame::kind;

/// The bytes of one frame of a flood, or some; `nth` counts from 0.
type Flood = fn(&mut Peer, nth: u32) -> Vec<u8>;

/// A server's limits, all of them small enough to be passed.
fn small() -> Limits {
    Limits {
        max_streams: 10,
        resets: 20,
        premature_reset_streams: 1000,
        errors: 20,
        pings: 20,
        settings: 20,
        idle_frames: 20,
        window_updates: 20,
        empty_data: 10,
        overhead_slack: 40,
        ..Limits::edge()
    }
}

/// The stream that goes with the nth frame, and what opens it.
fn stream(nth: u32) -> (u32, Vec<u8>) {
    let id = 2 * nth + 3;
    (id, wire::headers(WHOLE, id, REQUEST))
}

/// Opens a stream and sends a frame on it.
fn then(nth: u32, frame: fn(u32) -> Vec<u8>) -> Vec<u8> {
    let (id, open) = stream(nth);
    [open, frame(id)].concat()
}

/// How many frames of a flood are accepted, with stream 1 open, and the fault of the next.
fn bound(limits: &Limits, flood: Flood, pause: u64) -> (u32, Option<Fault>) {
    let mut peer = Peer::with(Role::Server, limits.clone());
    peer.now = 1_000_000;
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
    for nth in 0..300 {
        peer.now += pause;
        let bytes = flood(&mut peer, nth);
        peer.send(&bytes);
        peer.sent();
        if let Some(error) = peer.error {
            assert_eq!(error.code, ErrorCode::ENHANCE_YOUR_CALM);
            return (nth, Some(error.fault));
        }
    }
    (300, None)
}

#[test]
fn floods_end_at_their_bound() {
    let floods: &[(&str, u32, Fault, Flood)] = &[
        ("resets", 20, Fault::Resets, |_, nth| then(nth, |id| wire::reset(id, 8))),
        ("resets of ours", 20, Fault::Errors, |_, nth| then(nth, |id| wire::window(id, 0))),
        ("malformed", 20, Fault::Errors, |_, nth| wire::headers(ALL, 2 * nth + 3, b"")),
        ("refused streams", 29, Fault::Errors, |_, nth| stream(nth).1),
        ("PING", 20, Fault::Pings, |_, _| wire::ping(b"12345678")),
        ("answers to PING", 20, Fault::Pings, |_, _| wire::pong(b"12345678")),
        ("SETTINGS", 20, Fault::Settings, |_, _| wire::settings(&[])),
        ("acknowledgements", 20, Fault::Settings, |_, _| wire::ack()),
        // The stream that was opened allows two more, or one, or four and two for its head.
        ("PRIORITY", 22, Fault::IdleFrames, |_, _| wire::priority(1, 0)),
        ("unknown", 22, Fault::IdleFrames, |_, _| wire::frame(99, 0, 0, b"")),
        ("GOAWAY", 22, Fault::IdleFrames, |_, _| wire::go_away(0, 0)),
        ("late frames", 22, Fault::IdleFrames, |peer, nth| {
            if nth == 0 {
                peer.respond(peer.keys[0], true);
                peer.send(&wire::data(END, 1, b""));
            }
            wire::reset(1, 8)
        }),
        ("WINDOW_UPDATE on 0", 21, Fault::WindowUpdates, |_, _| wire::window(0, 1)),
        ("WINDOW_UPDATE on 1", 21, Fault::WindowUpdates, |_, _| wire::window(1, 1)),
        ("empty DATA", 26, Fault::EmptyData, |_, _| wire::data(NONE, 1, b"")),
        ("nothing but padding", 26, Fault::EmptyData, |_, _| wire::data(PADDED, 1, b"\x01a")),
        // 31 / 8 for one byte are 2.875 too much.
        ("padding", 14, Fault::Overhead, |_, _| {
            wire::data(PADDED, 1, &[&[20, b'x'], &[0; 20][..]].concat())
        }),
        // The first piece is HEADERS.
        ("CONTINUATION", 20, Fault::Continuation, |_, nth| match nth {
            0 => wire::headers(NONE, 3, REQUEST),
            _ => wire::continuation(NONE, 3, &[0; 8]),
        }),
        ("long CONTINUATION", 8, Fault::Continuation, |_, nth| match nth {
            0 => wire::headers(NONE, 3, REQUEST),
            _ => wire::continuation(NONE, 3, &[0; 8192]),
        }),
    ];
    for (name, expected, fault, flood) in floods {
        assert_eq!(bound(&small(), *flood, 0), (*expected, Some(*fault)), "{name}");
    }
}

#[test]
fn the_same_at_a_fair_pace_lives() {
    // 20 in 10 s and 20 in 30 s are allowed.
    let paced: &[(&str, u64, Flood)] = &[
        ("PING", 501, |_, _| wire::ping(b"12345678")),
        ("SETTINGS", 501, |_, _| wire::settings(&[])),
        ("PRIORITY", 501, |_, _| wire::priority(1, 0)),
        ("WINDOW_UPDATE", 501, |_, _| wire::window(1, 1)),
        ("empty DATA", 501, |_, _| wire::data(NONE, 1, b"")),
        ("padding", 800, |_, _| wire::data(PADDED, 1, &[&[200, b'x'], &[0; 200][..]].concat())),
        ("errors", 1501, |_, nth| then(nth, |id| wire::window(id, 0))),
        ("resets", 1501, |_, nth| then(nth, |id| wire::reset(id, 8))),
    ];
    let limits = Limits { premature_reset_streams: u32::MAX, overhead_slack: 1 << 10, ..small() };
    for (name, pause, flood) in paced {
        assert_eq!(bound(&limits, *flood, *pause), (300, None), "{name}");
    }
}

#[test]
fn paced_resets_are_judged_by_their_share() {
    let limits = Limits { resets: u32::MAX, premature_reset_streams: 100, ..Limits::edge() };
    // Six of ten are reset 5 ms after they were opened, for hours; or after two seconds; or four.
    for (of_ten, after, fault) in
        [(6, 5, Some(Fault::PrematureResets)), (6, 2000, None), (4, 5, None)]
    {
        let mut peer = Peer::with(Role::Server, limits.clone());
        for nth in 0..5000 {
            let (id, open) = stream(nth);
            peer.send(&open);
            peer.now += after;
            if nth % 10 < of_ten {
                peer.send(&wire::reset(id, 8));
            } else {
                peer.respond(*peer.keys.last().unwrap(), true);
                peer.send(&wire::data(END, id, b""));
            }
            peer.sent();
            if peer.error.is_some() {
                assert!(nth >= 99, "not on a few streams");
                break;
            }
        }
        assert_eq!(peer.error.map(|error| error.fault), fault, "{of_ten} of ten, {after} ms");
    }
}

#[test]
fn thousands_of_tiny_messages_wait_for_a_reader_that_pauses() {
    let mut peer = Peer::of(Role::Client);
    let key = peer.open("POST", true);
    peer.send(&wire::headers(WHOLE, 1, RESPONSE));
    for _ in 0..20_000 {
        peer.send(&wire::data(NONE, 1, b"abc"));
    }
    peer.now += 2000;
    peer.conn.release(key, 60_000);
    for _ in 0..20_000 {
        peer.send(&wire::data(NONE, 1, b"abc"));
    }
    peer.send(&wire::headers(ALL, 1, &wire::block(&[("grpc-status", "0")])));
    assert_eq!((peer.error, peer.take_events().len()), (None, 40_002));
}

/// A reader that grants each DATA frame on stream and connection, and measures round trips as
/// gRPC's clients do. Whatever the length of the connection's life, and across the ends of the
/// spans in which frames are counted.
#[test]
fn updates_and_pings_for_each_data_frame_are_no_flood() {
    let mut peer = Peer::with(Role::Server, Limits { overhead_slack: 1 << 10, ..Limits::edge() });
    peer.send(&wire::headers(ALL, 1, REQUEST));
    let key = peer.keys[0];
    peer.respond(key, false);
    let acks = [wire::window(0, 3), wire::window(1, 3), wire::ping(b"12345678")].concat();
    for burst in 1..=20 {
        peer.now = burst * 10_000 - 1;
        for _ in 0..2000 {
            peer.conn.send_data(key, b"abc", false).unwrap();
            peer.sent();
        }
        peer.now += 1;
        for _ in 0..2000 {
            peer.send(&acks);
        }
        peer.sent();
    }
    assert_eq!(peer.error, None);
}

#[test]
fn keepalive_pings_on_an_idle_connection_live() {
    let mut peer = Peer::of(Role::Server);
    for _ in 0..10_000 {
        peer.now += 110;
        peer.send(&wire::ping(b"12345678"));
        peer.sent();
    }
    assert_eq!(peer.error, None);
}

/// A backend continues to send until it has received our resets.
#[test]
fn a_backend_lives_when_thousands_of_calls_are_cancelled() {
    let mut peer = Peer::with(Role::Client, Limits::upstream());
    for _ in 0..10_000 {
        let key = peer.open("POST", true);
        let id = key.id();
        peer.send(&wire::headers(WHOLE, id, RESPONSE));
        peer.conn.reset(key, ErrorCode::CANCEL);
        for _ in 0..5 {
            peer.send(&wire::data(NONE, id, b"abc"));
        }
        peer.send(&wire::headers(ALL, id, &wire::block(&[("grpc-status", "0")])));
        peer.sent();
    }
    assert_eq!((peer.error, peer.conn.open_streams()), (None, 0));
}

#[test]
fn a_client_may_be_told_any_number_of_resets() {
    let mut peer = Peer::with(Role::Client, Limits::upstream());
    for _ in 0..10_000 {
        let key = peer.open("POST", true);
        peer.send(&wire::reset(key.id(), 7));
        peer.sent();
    }
    assert_eq!((peer.error, peer.take_events().len()), (None, 10_000));
}

/// Backends grant the window of a request that they have answered already.
#[test]
fn an_update_for_each_call_that_is_over_is_no_flood() {
    let mut peer = Peer::with(Role::Client, Limits::upstream());
    for _ in 0..10_000 {
        let id = peer.open("POST", true).id();
        peer.send(&wire::headers(ALL, id, RESPONSE));
        peer.send(&wire::window(id, 100));
        peer.sent();
    }
    assert_eq!((peer.error, peer.conn.open_streams()), (None, 0));
}

/// Peers that send one before, behind and between their messages, whatever their pace.
#[test]
fn an_empty_data_frame_for_each_message_and_call_is_no_flood() {
    for limits in [Limits::edge(), Limits::internal()] {
        let mut client = Peer::with(Role::Server, limits);
        for nth in 0..5000 {
            let (id, open) = stream(nth);
            client.now += 1;
            client.send(&open);
            for _ in 0..2 {
                client.send(&wire::data(NONE, id, b"")).send(&wire::data(NONE, id, b"message"));
            }
            client.send(&wire::data(NONE, id, b"")).send(&wire::data(END, id, b""));
            client.respond(*client.keys.last().unwrap(), true);
            client.sent();
        }
        assert_eq!((client.error, client.conn.open_streams()), (None, 0));
    }
    let mut backend = Peer::with(Role::Client, Limits::upstream());
    for _ in 0..5000 {
        let id = backend.open("POST", true).id();
        backend.send(&wire::headers(WHOLE, id, RESPONSE));
        backend.send(&wire::data(NONE, id, b"")).send(&wire::data(NONE, id, b"message"));
        backend.send(&wire::data(NONE, id, b""));
        backend.send(&wire::headers(ALL, id, &wire::block(&[("grpc-status", "0")])));
        backend.sent();
    }
    assert_eq!((backend.error, backend.conn.retired()), (None, None));
}

/// And one stream alone, for hours.
#[test]
fn a_heartbeat_each_second_on_streams_that_stay_open_is_no_flood() {
    let budget = |open: usize| {
        let mut meter =
            FloodGuard::new(Arc::new(Limits { empty_data: 20, ..Limits::edge() }), Role::Server);
        (0..10_000).take_while(|_| meter.empty_data(open, 1_000).is_ok()).count()
    };
    assert_eq!([0, 1, 60].map(budget), [20, 30, 620]);
}

#[test]
fn an_empty_data_frame_for_each_message_of_a_long_stream_is_no_flood() {
    let mut peer = Peer::of(Role::Server);
    peer.send(&wire::headers(WHOLE, 1, REQUEST));
    let key = peer.keys[0];
    for _ in 0..20_000 {
        peer.now += 1;
        peer.send(&wire::data(NONE, 1, b"message")).send(&wire::data(NONE, 1, b""));
        peer.conn.release(key, 7);
        peer.sent();
    }
    assert_eq!((peer.error, peer.conn.open_streams()), (None, 1));
}

/// What a backend does repeatedly to a client that has one stream open.
type Wrong = fn(&mut Peer, nth: u32);

#[test]
fn what_a_backend_does_wrong_ends_no_stream_of_others() {
    fn late(peer: &mut Peer, bytes: fn(u32) -> Vec<u8>) {
        let id = peer.keys[1].id();
        if peer.conn.is_open(peer.keys[1]) {
            peer.send(&wire::headers(ALL, id, RESPONSE));
        }
        peer.send(&bytes(id));
    }
    let wrongs: &[(&str, Fault, Wrong)] = &[
        ("malformed heads", Fault::Errors, |peer, _| {
            let id = peer.open("POST", true).id();
            peer.send(&wire::headers(ALL, id, b"\x40\x01X\x01y"));
        }),
        ("malformed trailers", Fault::Errors, |peer, _| {
            let id = peer.open("POST", true).id();
            peer.send(&wire::headers(WHOLE, id, RESPONSE));
            peer.send(&wire::headers(ALL, id, &wire::block(&[(":status", "200")])));
        }),
        ("long lists", Fault::Errors, |peer, _| {
            let id = peer.open("POST", true).id();
            peer.send(&wire::headers(ALL, id, &wire::response(&[("x", "y"); 300])));
        }),
        ("resets", Fault::Resets, |peer, _| {
            let id = peer.open("POST", true).id();
            peer.send(&wire::reset(id, 2));
        }),
        ("late trailers", Fault::IdleFrames, |peer, _| {
            late(peer, |id| wire::headers(ALL, id, RESPONSE));
        }),
        ("late DATA", Fault::IdleFrames, |peer, _| late(peer, |id| wire::data(NONE, id, b"x"))),
        ("late resets", Fault::IdleFrames, |peer, _| late(peer, |id| wire::reset(id, 8))),
        ("late updates", Fault::WindowUpdates, |peer, _| late(peer, |id| wire::window(id, 1))),
        ("unknown frames", Fault::IdleFrames, |peer, _| {
            peer.send(&wire::frame(10, NONE, 1, b"h2=\":443\""));
        }),
        ("empty DATA", Fault::EmptyData, |peer, _| {
            peer.send(&wire::data(NONE, 1, b""));
        }),
        ("padding", Fault::Overhead, |peer, _| {
            peer.send(&wire::data(PADDED, 1, &[&[200, b'x'], &[0; 200][..]].concat()));
        }),
    ];
    for (name, fault, wrong) in wrongs {
        let limits = Limits { max_streams: 0, header_count: 50, empty_data: 1, ..small() };
        let mut peer = Peer::with(Role::Client, limits);
        let (first, _) = (peer.open("POST", true), peer.open("POST", true));
        peer.send(&wire::headers(WHOLE, first.id(), RESPONSE));
        for nth in 0..500 {
            if nth < 500 && peer.conn.available() > 0 {
                wrong(&mut peer, nth);
                peer.sent();
            }
        }
        assert_eq!((peer.error, peer.conn.retired()), (None, Some(*fault)), "{name}");
        assert!(peer.conn.is_leaving(), "{name}");
        // It continues, but the other stream is not affected.
        for nth in 500..1000 {
            if !matches!(fault, Fault::Errors | Fault::Resets) {
                wrong(&mut peer, nth);
                peer.sent();
            }
        }
        peer.take_events();
        peer.send(&wire::data(NONE, first.id(), b"whole"));
        peer.send(&wire::headers(ALL, first.id(), &wire::block(&[("grpc-status", "0")])));
        assert_eq!(peer.take_events(), ["data 1 whole", "trailers 1"], "{name}");
        assert_eq!((peer.error, peer.conn.open_streams() <= 1), (None, true), "{name}");
    }
}

/// Floods of frames that belong to no call close the connection, as no call needs them.
#[test]
fn floods_of_a_backend_end_its_connection() {
    for (flood, fault) in
        [(wire::ping(b"12345678"), Fault::Pings), (wire::settings(&[]), Fault::Settings)]
    {
        let mut peer = Peer::with(Role::Client, Limits::upstream());
        for _ in 0..1000 {
            if peer.error.is_none() {
                peer.send(&flood);
                peer.sent();
            }
        }
        assert_eq!(peer.error.map(|error| error.fault), Some(fault));
    }
}

/// A list far beyond the limit ends its stream; the next one can still be decoded.
#[test]
fn a_long_list_of_a_backend_ends_one_stream() {
    let lists: [(&str, Vec<u8>); 2] = [
        ("fields", wire::response(&[("x-name", "a value of some length"); 20_000])),
        ("bytes", wire::response(&[("x-name", "y".repeat(100).as_str()); 6000])),
    ];
    for (name, list) in lists {
        let mut peer = Peer::with(Role::Client, Limits::upstream());
        let (first, second) = (peer.open("POST", true).id(), peer.open("POST", true).id());
        // A field that goes into the table, to be referred to behind the long list.
        peer.send(&wire::headers(WHOLE, first, b"\x88\x40\x01x\x01y"));
        let mut pieces: Vec<_> = list.chunks(16 << 10).collect();
        let last = pieces.pop().unwrap();
        peer.send(&wire::headers(NONE, second, pieces[0]));
        for piece in &pieces[1..] {
            peer.send(&wire::continuation(NONE, second, piece));
        }
        peer.send(&wire::continuation(WHOLE, second, last));
        peer.send(&wire::headers(ALL, first, b"\xbe"));
        assert_eq!(
            peer.take_events(),
            ["response 1", "reset 3 11 TooLarge", "trailers 1"],
            "{name}"
        );
        assert_eq!((peer.error, peer.conn.retired()), (None, None), "{name}");
    }
}

/// gRPC's own case: five bytes of payload and 255 of padding in each frame.
#[test]
fn a_backend_may_pad_all_it_sends() {
    let mut peer = Peer::with(Role::Client, Limits::upstream());
    let key = peer.open("POST", true);
    peer.send(&wire::headers(WHOLE, 1, RESPONSE));
    peer.sent();
    let (mut stream, mut connection) = (256_i64 << 10, 4_i64 << 20);
    let padded = wire::data(PADDED, 1, &[&[255][..], b"hello", &[0; 255]].concat());
    let hidden = wire::data(PADDED, 1, &[&[255][..], &[0; 255]].concat());
    for nth in 0..100_000 {
        let frame = if nth % 2 == 0 { &padded } else { &hidden };
        peer.send(frame);
        let len = frame.len() as i64 - 9;
        (stream, connection) = (stream - len, connection - len);
        if nth % 2 == 0 {
            peer.conn.release(key, 5);
        }
        for update in peer.sent() {
            assert_eq!(update.kind, kind::WINDOW_UPDATE);
            let window = if update.stream == 0 { &mut connection } else { &mut stream };
            *window += i64::from(update.number());
        }
        peer.take_events();
        // Neither window runs out, or is granted more than was taken.
        assert!((1 << 16..=256 << 10).contains(&stream), "{stream}");
        assert!((1 << 20..=4 << 20).contains(&connection), "{connection}");
    }
    assert_eq!((peer.error, peer.conn.retired()), (None, None));
}
