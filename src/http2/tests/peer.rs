//! A peer that sends arbitrary frames and observes what they lead to.

use std::sync::Arc;

use super::wire::{self, Sent};
use crate::http::{
    Connection as _, ConnectionError, ErrorCode, Event, HeaderPool, Headers, Key, Limits, Millis,
    Name, Role,
};
use crate::http2::frame::kind;
use crate::http2::{Connection, PREFACE};

/// What a frame leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The connection is ended with this code.
    Connection(ErrorCode),
    /// The stream is reset with this code; the connection goes on.
    Stream(ErrorCode),
    /// Nothing.
    Ignored,
    /// It is accepted.
    Taken,
}

/// One end of ours, and the peer's view of it.
pub struct Peer {
    pub conn: Connection,
    pub now: Millis,
    pub events: Vec<String>,
    /// The streams that our end knows of, in order.
    pub keys: Vec<Key>,
    pub sent: Vec<Sent>,
    pub error: Option<ConnectionError>,
    pool: HeaderPool,
}

impl Peer {
    /// Before either side has sent anything.
    pub fn before(role: Role, limits: Limits) -> Peer {
        let limits = Arc::new(limits);
        let conn = match role {
            Role::Client => Connection::client(limits),
            Role::Server => Connection::server(limits),
        };
        Peer {
            conn,
            now: 0,
            events: Vec::new(),
            keys: Vec::new(),
            sent: Vec::new(),
            error: None,
            pool: HeaderPool::default(),
        }
    }

    /// After the preface and SETTINGS exchange.
    pub fn with(role: Role, limits: Limits) -> Peer {
        let mut peer = Peer::before(role, limits);
        if role == Role::Server {
            peer.send(PREFACE);
        }
        peer.send(&wire::settings(&[]));
        peer.send(&wire::ack());
        peer.sent();
        peer.events.clear();
        peer
    }

    pub fn of(role: Role) -> Peer {
        Peer::with(role, Limits::edge())
    }

    /// Sends bytes to our end.
    pub fn send(&mut self, bytes: &[u8]) -> &mut Peer {
        let mut input = bytes;
        loop {
            let events = &mut self.events;
            let received =
                self.conn.receive(&mut input, self.now, &mut self.pool, |key, data, end| {
                    let (data, end) =
                        (String::from_utf8_lossy(data), if end { " end" } else { "" });
                    events.push(format!("data {} {data}{end}", key.id()));
                    0
                });
            match received {
                Ok(Some(event)) => note(&mut self.events, &mut self.keys, &event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(self.error.replace(error), None, "it fails once");
                    break;
                }
            }
        }
        assert!(self.error.is_some() || input.is_empty(), "half a frame: {input:?}");
        self.conn.pump();
        self
    }

    /// Our end's output since the last call.
    pub fn sent(&mut self) -> Vec<Sent> {
        let bytes = self.conn.output().bytes().to_vec();
        self.conn.output().advance(bytes.len());
        self.conn.pump();
        let frames = wire::parse(bytes.strip_prefix(PREFACE).unwrap_or(&bytes));
        self.sent.extend(frames.iter().cloned());
        frames
    }

    /// Our end's events since the last call.
    pub fn take_events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }

    /// Our end opens a stream.
    pub fn open(&mut self, method: &str, end: bool) -> Key {
        let mut head = Headers::new();
        head.add(Name::Method, method.as_bytes());
        head.add(Name::Scheme, b"http");
        head.add(Name::Path, b"/");
        let key = self.conn.open(&head, end, self.now).unwrap();
        self.keys.push(key);
        key
    }

    /// Our end answers.
    pub fn respond(&mut self, key: Key, end: bool) {
        let mut head = Headers::new();
        head.add(Name::Status, b"200");
        self.conn.send_head(key, &head, end).unwrap();
    }

    /// What these bytes lead to, on a stream or on the connection.
    pub fn outcome(&mut self, bytes: &[u8]) -> Outcome {
        self.sent();
        self.take_events();
        self.send(bytes);
        let sent = self.sent();
        if let Some(error) = self.error {
            let last = sent.last().expect("a GOAWAY");
            assert_eq!((last.kind, last.code()), (kind::GOAWAY, error.code.0));
            assert!(last.payload.ends_with(error.detail.as_bytes()));
            self.send(&wire::ping(b"anybody?"));
            assert_eq!((self.sent(), self.conn.available()), (Vec::new(), 0));
            return Outcome::Connection(error.code);
        }
        self.send(&wire::ping(b"anybody?"));
        let answer = self.sent().pop().expect("an answer to a PING");
        assert_eq!((answer.kind, answer.payload), (kind::PING, b"anybody?".to_vec()));
        match sent.iter().find(|frame| frame.kind == kind::RST_STREAM) {
            Some(reset) => Outcome::Stream(ErrorCode(reset.number())),
            None if self.events.is_empty() => Outcome::Ignored,
            None => Outcome::Taken,
        }
    }
}

/// Formats an event.
fn note(events: &mut Vec<String>, keys: &mut Vec<Key>, event: &Event) {
    let end = |end: &bool| if *end { " end" } else { "" };
    events.push(match event {
        Event::Request { key, end: ended, .. } => {
            keys.push(*key);
            format!("request {}{}", key.id(), end(ended))
        }
        Event::Oversized { key, .. } => {
            keys.push(*key);
            format!("oversized {}", key.id())
        }
        Event::Informational { key, .. } => format!("informational {}", key.id()),
        Event::Response { key, end: ended, .. } => format!("response {}{}", key.id(), end(ended)),
        Event::End { key } => format!("end {}", key.id()),
        Event::Trailers { key, .. } => format!("trailers {}", key.id()),
        Event::Reset { key, code, cause } => format!("reset {} {} {cause:?}", key.id(), code.0),
        Event::Settings => "settings".to_owned(),
        Event::GoAway { code, .. } => format!("goaway {}", code.0),
        Event::Pong(payload) => format!("pong {}", String::from_utf8_lossy(payload)),
    });
}
