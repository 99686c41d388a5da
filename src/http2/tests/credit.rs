//! What a backend may send ahead of its reader.

use super::peer::Peer;
use super::wire::{self, NONE, RESPONSE, WHOLE};
use crate::http2::frame::kind;
use crate::http2::window::FIRST;
use crate::http2::{ErrorCode, Key, Limits, Role};

/// A backend that answers on one stream, and the account of what it sends.
struct Backend {
    peer: Peer,
    key: Key,
    ceiling: usize,
    first: usize,
    sent: usize,
    granted: usize,
    released: usize,
}

impl Backend {
    fn new(ceiling: u32) -> Backend {
        let limits = Limits { stream_window: ceiling, ..Limits::upstream() };
        let mut peer = Peer::with(Role::Client, limits);
        let key = peer.open("POST", true);
        peer.send(&wire::headers(WHOLE, key.id(), RESPONSE)).sent();
        let (first, ceiling) = (FIRST.min(ceiling) as usize, ceiling as usize);
        Backend { peer, key, ceiling, first, sent: 0, granted: 0, released: 0 }
    }

    fn allowed(&self) -> usize {
        self.first + self.granted - self.sent
    }

    fn send(&mut self, bytes: usize) {
        let mut left = bytes.min(self.allowed());
        self.sent += left;
        while left > 0 {
            let piece = left.min(16 << 10);
            self.peer.send(&wire::data(NONE, self.key.id(), &vec![0; piece]));
            left -= piece;
        }
        self.note();
    }

    /// The reader takes so much of what is held for it.
    fn take(&mut self, bytes: usize) {
        let bytes = bytes.min(self.sent - self.released);
        self.released += bytes;
        self.peer.conn.release(self.key, bytes);
        self.note();
    }

    fn note(&mut self) {
        for frame in self.peer.sent().iter().filter(|frame| frame.stream == self.key.id()) {
            assert_eq!(frame.kind, kind::WINDOW_UPDATE);
            self.granted += frame.number() as usize;
        }
        self.peer.told();
        assert_eq!(self.peer.error, None);
    }

    /// What may be under way, and held here.
    fn window(&self) -> usize {
        self.first + self.granted - self.released
    }
}

/// A backend sends and a reader takes, by turns, so much.
pub fn run(ceiling: u32, script: &[(u8, usize)]) {
    let mut backend = Backend::new(ceiling);
    for &(what, bytes) in script {
        match what {
            0 => backend.send(bytes),
            1 => backend.take(bytes),
            _ => backend.take(usize::MAX),
        }
        assert!(backend.window() <= backend.ceiling, "more than the ceiling");
        assert!(backend.window() <= backend.first + backend.released, "more than was taken");
        let all_taken = backend.released == backend.sent;
        assert!(!all_taken || backend.allowed() > backend.first / 2, "credit is lost");
    }
    // What nobody wants any more costs the connection's window nothing.
    let (key, id) = (backend.key, backend.key.id());
    backend.peer.conn.reset(key, ErrorCode::CANCEL);
    backend.peer.conn.release(key, backend.sent - backend.released);
    assert_eq!(backend.peer.sent().iter().filter(|sent| sent.kind != kind::RST_STREAM).count(), 0);
    backend.peer.send(&wire::data(NONE, id, &[0; 100]));
    assert_eq!(backend.peer.error, None);
}

#[test]
fn a_reader_that_takes_nothing_is_sent_little() {
    let mut backend = Backend::new(256 << 10);
    backend.send(usize::MAX);
    assert_eq!((backend.sent, backend.granted), (FIRST as usize, 0));
    let over = super::peer::Outcome::Stream(ErrorCode::FLOW_CONTROL_ERROR);
    assert_eq!(backend.peer.outcome(&wire::data(NONE, 1, b"x")), over);
}

#[test]
fn a_reader_that_takes_all_is_soon_sent_as_much_as_there_may_be() {
    let mut backend = Backend::new(256 << 10);
    let mut widths = Vec::new();
    for _ in 0..7 {
        widths.push(backend.allowed() >> 10);
        backend.send(usize::MAX);
        backend.take(usize::MAX);
    }
    assert_eq!(widths, [32, 32, 32, 64, 128, 256, 256]);
}

#[test]
fn a_small_ceiling_is_where_it_begins() {
    for ceiling in [1, 1000, FIRST - 1, FIRST] {
        let mut backend = Backend::new(ceiling);
        backend.send(usize::MAX);
        assert_eq!(backend.sent, ceiling.min(FIRST) as usize);
        for _ in 0..10 {
            backend.take(usize::MAX);
            backend.send(usize::MAX);
        }
        backend.take(usize::MAX);
        assert!(backend.allowed() > ceiling as usize / 2);
    }
}

#[test]
fn a_client_may_send_all_of_its_window_at_once() {
    let mut peer = Peer::with(Role::Server, Limits::internal());
    peer.send(&wire::headers(WHOLE, 1, super::wire::REQUEST));
    for _ in 0..64 {
        peer.send(&wire::data(NONE, 1, &[0; 16 << 10]));
    }
    assert_eq!((peer.error, peer.told().len()), (None, 65));
}
