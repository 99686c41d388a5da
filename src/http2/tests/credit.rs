//! Receive windows: what a backend may send ahead of a slow reader.

use super::peer::{Outcome, Peer};
use super::wire::{self, NONE, RESPONSE, WHOLE};
use crate::http::{Connection as _, ErrorCode, Key, Limits, Role, window::NARROW};
use crate::http2::frame::kind;

/// A backend that sends on one stream as soon as its window allows, and its byte counts.
struct Backend {
    peer: Peer,
    key: Key,
    ceiling: i64,
    narrow: i64,
    /// The initial window of streams, by the last SETTINGS.
    base: i64,
    sent: i64,
    granted: i64,
    released: i64,
}

impl Backend {
    fn new(ceiling: u32) -> Backend {
        let limits = Limits { stream_window: ceiling, settings: u32::MAX, ..Limits::upstream() };
        let mut peer = Peer::with(Role::Client, limits);
        let key = peer.open("POST", true);
        peer.send(&wire::headers(WHOLE, key.id(), RESPONSE)).sent();
        let (narrow, ceiling) = (NARROW.min(ceiling).into(), ceiling.into());
        Backend { peer, key, ceiling, narrow, base: ceiling, sent: 0, granted: 0, released: 0 }
    }

    fn narrow_one(ceiling: u32) -> Backend {
        let mut backend = Backend::new(ceiling);
        backend.set_narrow(true);
        backend
    }

    fn allowed(&self) -> i64 {
        self.base + self.granted - self.sent
    }

    fn held(&self) -> i64 {
        self.sent - self.released
    }

    fn send(&mut self, bytes: usize) {
        let mut left = self.allowed().clamp(0, bytes.try_into().unwrap_or(i64::MAX));
        self.sent += left;
        while left > 0 {
            let piece = left.min(16 << 10);
            self.peer.send(&wire::data(NONE, self.key.id(), &vec![0; piece as usize]));
            left -= piece;
        }
        self.note();
    }

    fn send_all(&mut self) {
        self.send(usize::MAX);
    }

    /// The reader takes this many of the buffered bytes.
    fn take(&mut self, bytes: usize) {
        let bytes = self.held().min(bytes.try_into().unwrap_or(i64::MAX));
        self.released += bytes;
        self.peer.conn.release(self.key, bytes as usize);
        self.note();
    }

    fn take_all(&mut self) {
        self.take(usize::MAX);
    }

    fn set_narrow(&mut self, narrow: bool) {
        self.peer.conn.set_narrow(narrow);
        self.note();
        assert_eq!(self.base, if narrow { self.narrow } else { self.ceiling });
    }

    fn note(&mut self) {
        for frame in self.peer.sent() {
            match (frame.kind, &frame.payload[..]) {
                (kind::SETTINGS, [0, 4, value @ ..]) => {
                    self.base = u32::from_be_bytes(value.try_into().unwrap()).into();
                    self.peer.send(&wire::ack());
                }
                (kind::WINDOW_UPDATE, _) if frame.stream == self.key.id() => {
                    self.granted += i64::from(frame.number());
                }
                (kind::WINDOW_UPDATE, _) if frame.stream == 0 => {}
                _ => panic!("{frame:?}"),
            }
        }
        self.peer.take_events();
        assert_eq!(self.peer.error, None);
    }

    /// The bytes that may be in flight or buffered here.
    fn window(&self) -> i64 {
        self.base + self.granted - self.released
    }

    fn check(&self) {
        // When all windows are widened again, one may have grown by this much.
        let owed = self.ceiling - self.narrow;
        assert!(self.window() <= self.ceiling + if self.base > self.narrow { owed } else { 0 });
        assert!(self.granted <= 2 * self.released, "more than was taken");
        assert!(self.held() > 0 || self.allowed() > 0, "the backend waits for ever");
    }
}

/// A backend sends and a reader takes these amounts in turns, while windows are narrowed and widened.
pub fn run(ceiling: u32, script: &[(u8, usize)]) {
    let mut backend = Backend::new(ceiling);
    for &(what, bytes) in script {
        match what {
            0 | 1 => backend.send(bytes),
            2 => backend.send_all(),
            3 | 4 => backend.take(bytes),
            5 => backend.take_all(),
            _ => backend.set_narrow(bytes % 2 == 0),
        }
        backend.check();
    }
    // The growth is withheld from credit, until every window has the right size again.
    backend.set_narrow(false);
    for _ in 0..10 {
        backend.take_all();
        backend.send_all();
    }
    assert!(backend.window() <= backend.ceiling, "more than the ceiling");
    backend.take_all();
    assert!(2 * backend.allowed() >= backend.ceiling, "credit is lost");
    // A discarded body does not use up the connection's window.
    backend.send_all();
    let (key, held) = (backend.key, backend.held() as usize);
    backend.peer.conn.reset(key, ErrorCode::CANCEL);
    backend.peer.conn.release(key, held);
    assert_eq!(backend.peer.sent().iter().filter(|sent| sent.kind != kind::RST_STREAM).count(), 0);
    backend.peer.send(&wire::data(NONE, key.id(), &[0; 100]));
    assert_eq!(backend.peer.error, None);
}

#[test]
fn a_backend_may_send_all_of_a_window_at_once_and_no_more() {
    let mut backend = Backend::new(256 << 10);
    backend.send_all();
    assert_eq!((backend.sent, backend.granted), (256 << 10, 0));
    let over = Outcome::Stream(ErrorCode::FLOW_CONTROL_ERROR);
    assert_eq!(backend.peer.outcome(&wire::data(NONE, 1, b"x")), over);
}

#[test]
fn on_a_narrow_connection_a_reader_that_takes_nothing_is_sent_little() {
    let mut backend = Backend::narrow_one(256 << 10);
    backend.send_all();
    assert_eq!((backend.sent, backend.granted), (NARROW.into(), 0));
}

#[test]
fn unused_credit_is_withdrawn() {
    let mut backend = Backend::new(256 << 10);
    backend.send(10_000);
    backend.set_narrow(true);
    assert_eq!(backend.allowed(), i64::from(NARROW) - 10_000);
    backend.set_narrow(false);
    assert_eq!(backend.allowed(), (256 << 10) - 10_000);
    // A backend that has sent more than that must wait until it is taken.
    backend.send(100_000);
    backend.set_narrow(true);
    backend.take(70_000);
    assert!(backend.allowed() <= 0);
    backend.take_all();
    assert!(backend.allowed() > 0);
}

#[test]
fn unacknowledged_narrow_windows_do_not_count() {
    let mut backend = Backend::new(256 << 10);
    backend.peer.conn.set_narrow(true);
    backend.send_all();
    assert_eq!(backend.sent, 256 << 10);
}

#[test]
fn credit_that_is_too_little_for_a_wide_window_is_given_when_it_is_narrow() {
    let mut backend = Backend::new(256 << 10);
    backend.send(120_000);
    backend.take_all();
    assert_eq!(backend.granted, 0);
    backend.set_narrow(true);
    assert_eq!((backend.granted, backend.allowed()), (120_000, NARROW.into()));
}

#[test]
fn a_fast_reader_soon_gets_the_full_window() {
    let mut backend = Backend::narrow_one(256 << 10);
    let mut widths = Vec::new();
    for _ in 0..10 {
        widths.push(backend.allowed() >> 10);
        backend.send_all();
        backend.take_all();
    }
    assert_eq!(widths, [16, 16, 16, 16, 16, 16, 32, 64, 128, 256]);
    // The growth is withheld once windows are wide.
    backend.set_narrow(false);
    assert_eq!(backend.allowed() >> 10, 496);
    backend.send_all();
    backend.take_all();
    assert_eq!(backend.allowed() >> 10, 256);
}

#[test]
fn a_small_ceiling_is_as_wide_as_it_gets() {
    for ceiling in [1, 1000, NARROW - 1, NARROW] {
        let mut backend = Backend::new(ceiling);
        backend.set_narrow(true);
        backend.send_all();
        assert_eq!(backend.sent, i64::from(ceiling));
        for _ in 0..10 {
            backend.take_all();
            backend.send_all();
        }
        backend.take_all();
        assert!(backend.allowed() > i64::from(ceiling) / 2);
    }
}

/// A window does not grow beyond HTTP/2's maximum.
#[test]
fn the_widest_windows_can_be_narrowed_too() {
    let mut backend = Backend::new(1 << 30);
    let limits = Limits { stream_window: (1 << 31) - 1, ..Limits::upstream() };
    backend.peer = Peer::with(Role::Client, limits);
    backend.key = backend.peer.open("POST", true);
    backend.peer.send(&wire::headers(WHOLE, 1, RESPONSE)).sent();
    backend.set_narrow(true);
    backend.send_all();
    backend.take_all();
    backend.set_narrow(false);
    assert_eq!(backend.allowed(), 1 << 30);
}

#[test]
fn a_client_may_send_all_of_its_window_at_once() {
    let mut peer = Peer::with(Role::Server, Limits::internal());
    peer.conn.set_narrow(true);
    assert!(peer.sent().is_empty());
    peer.send(&wire::headers(WHOLE, 1, super::wire::REQUEST));
    for _ in 0..64 {
        peer.send(&wire::data(NONE, 1, &[0; 16 << 10]));
    }
    assert_eq!((peer.error, peer.take_events().len()), (None, 65));
}
