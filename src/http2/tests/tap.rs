//! Watches one direction of a pipe and tracks the windows itself.

use std::collections::BTreeMap;

use super::end::End;
use super::exchange::Left;
use crate::http::{Connection as _, Limits, Role};

/// The output of one end.
#[derive(Debug)]
pub struct Tap {
    preface: usize,
    partial: Vec<u8>,
    seen: usize,
    /// What the receiver allows on a stream at first.
    window: u64,
    data: u64,
    data_on: BTreeMap<u32, u64>,
    granted: u64,
    granted_on: BTreeMap<u32, u64>,
}

impl Tap {
    /// A tap towards a receiver with these limits, from a sender with a preface of this length.
    pub fn new(receiver: &Limits, preface: usize) -> Tap {
        Tap {
            preface,
            partial: Vec::new(),
            seen: 0,
            window: receiver.stream_window.into(),
            data: 0,
            data_on: BTreeMap::new(),
            granted: 0,
            granted_on: BTreeMap::new(),
        }
    }

    /// How many bytes have passed.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Records bytes; `back` is the other direction, which has the credit granted to their sender.
    pub fn watch(&mut self, bytes: &[u8], back: &Tap) {
        self.seen += bytes.len();
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        self.partial.extend(&bytes[preface..]);
        while let [l0, l1, l2, kind, _, s0, s1, s2, s3, rest @ ..] = &self.partial[..] {
            let len = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
            let Some(payload) = rest.get(..len) else {
                return;
            };
            let (id, kind) = (u32::from_be_bytes([*s0, *s1, *s2, *s3]), *kind);
            let value = payload.first_chunk().map_or(0, |b| u64::from(u32::from_be_bytes(*b)));
            self.partial.drain(..9 + len);
            match kind {
                0 => self.data(id, len as u64, back),
                8 => self.grant(id, value),
                _ => {}
            }
        }
    }

    fn data(&mut self, id: u32, len: u64, back: &Tap) {
        self.data += len;
        let on_stream = self.data_on.entry(id).or_default();
        *on_stream += len;
        let granted = back.granted_on.get(&id).copied().unwrap_or(0);
        assert!(*on_stream <= self.window + granted, "the window of stream {id} is exceeded");
        assert!(self.data <= 65_535 + back.granted, "the connection's window is exceeded");
    }

    fn grant(&mut self, id: u32, by: u64) {
        assert!(by > 0, "a grant of nothing");
        match id {
            0 => self.granted += by,
            _ => *self.granted_on.entry(id).or_default() += by,
        }
    }

    /// Checks that all bytes were received, and that all released credit was granted again, except for
    /// amounts too small for a WINDOW_UPDATE. `back` is the other direction.
    pub fn compare(&self, sender: &End, receiver: &End, back: &Tap) {
        for (id, exchange) in &receiver.streams {
            let sent = self.data_on.get(id).copied().unwrap_or(0);
            assert!(exchange.received as u64 <= sent, "bytes of stream {id} from nowhere");
            assert!(exchange.left != Left::Whole || exchange.received as u64 == sent);
        }
        for (id, granted) in &self.granted_on {
            // A server grants all credit of a discarded body.
            let exchange = &sender.streams[id];
            let discarded = sender.conn.role() == Role::Server && exchange.left != Left::Whole;
            let came = back.data_on.get(id).copied().unwrap_or(0);
            let released = if discarded { came } else { exchange.released as u64 };
            // The growth of a window was granted too: at most as much as was taken.
            assert!(*granted <= 2 * released, "more is granted on stream {id} than was released");
        }
        let window = u64::from(sender.conn.limits().connection_window);
        let due = window - 65_535 + back.data;
        assert!(self.granted <= due && due < self.granted + window / 2, "the credit is wrong");
    }
}
