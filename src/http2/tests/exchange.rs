//! The contents of a stream, and the state that one end expects it to have.

use crate::http::{Headers, Key, Name, Role};

/// How a stream was left at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It is open, or came to its end in both directions.
    Whole,
    /// Further input is dropped.
    Discarded,
    /// One side reset it.
    Reset,
    /// The peer has never seen it.
    TakenBack,
}

/// The expected state of a stream at one end.
#[derive(Debug)]
pub struct Exchange {
    pub key: Key,
    pub left: Left,
    /// Bytes of body that were given to the connection.
    pub sent: usize,
    /// Those of them that were not written yet.
    pub waiting: usize,
    pub head_sent: bool,
    pub trailers_sent: bool,
    pub done: bool,
    pub received: usize,
    pub released: usize,
    pub head: bool,
    pub trailers: bool,
    pub ended: bool,
}

/// The byte at some place of the body that an end sends on a stream.
pub fn byte_at(id: u32, from: Role, at: usize) -> u8 {
    (at ^ at >> 8 ^ at >> 16) as u8 ^ (id as u8).wrapping_mul(3) ^ from as u8
}

pub fn request(id: u32, size: usize) -> Headers {
    let mut headers = Headers::new();
    headers.add(Name::Method, b"POST");
    headers.add(Name::Scheme, b"http");
    headers.add(Name::Path, format!("/{id}").as_bytes());
    headers.add_named(b"x-ballast", &vec![b'b'; size]);
    headers
}

pub fn response(id: u32, status: &str) -> Headers {
    let mut headers = Headers::new();
    headers.add(Name::Status, status.as_bytes());
    headers.add_named(b"x-id", id.to_string().as_bytes());
    headers
}

pub fn trailers(id: u32) -> Headers {
    let mut headers = Headers::new();
    headers.add_named(b"x-trailer", id.to_string().as_bytes());
    headers
}

impl Exchange {
    pub fn new(key: Key) -> Exchange {
        Exchange {
            key,
            left: Left::Whole,
            sent: 0,
            waiting: 0,
            head_sent: false,
            trailers_sent: false,
            done: false,
            received: 0,
            released: 0,
            head: false,
            trailers: false,
            ended: false,
        }
    }

    /// More may come.
    pub fn expects_more(&self) {
        assert_eq!((self.left, self.ended), (Left::Whole, false), "more after the end");
    }

    /// Takes a piece of the body that `peer` sends. On every third stream it is given back at once.
    pub fn on_data(&mut self, peer: Role, payload: &[u8], end: bool) -> usize {
        self.expects_more();
        assert!(end || !payload.is_empty(), "an empty piece");
        assert!(self.head, "a body before its head");
        let expected = (self.received..).map(|at| byte_at(self.key.id(), peer, at));
        assert!(payload.iter().copied().eq(expected.take(payload.len())), "not what was sent");
        self.received += payload.len();
        self.ended = end;
        let at_once = if self.key.id().is_multiple_of(3) { payload.len() } else { 0 };
        self.released += at_once;
        at_once
    }

    pub fn reset(&mut self) {
        self.left = Left::Reset;
        self.waiting = 0;
    }
}
