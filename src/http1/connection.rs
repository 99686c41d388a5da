//! The connection: one exchange at a time, and what it is told between them.

mod end;
mod receive;
mod send;

use std::sync::Arc;

use super::body::Body;
use super::response::Asked;
use super::write::Framing;
use crate::http::{Backlog, Headers, Key, Limits, Output, Refusals, Role, Width, Window};

/// One end of an HTTP/1.1 connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: Arc<Limits>,
    /// Of the requests that a server reads.
    scheme: &'static [u8],
    output: Output,
    /// The number of this exchange, or of the last.
    number: u32,
    exchange: Option<Exchange>,
    /// How far the lines of a head have been looked at.
    scanned: usize,
    /// This exchange is to be the last.
    closing: bool,
    /// There will be no other exchange.
    over: bool,
    /// A client may still be sending what nobody wants.
    cut_short: bool,
    /// A message was broken off.
    broken: bool,
    /// What is sent, or was sent last, ends with the connection.
    ends_by_close: bool,
    drained: usize,
    /// What exchanges may hold here.
    width: Width,
    /// The peer takes nothing for now.
    held_up: bool,
    refusals: Refusals,
}

/// One request and its response.
#[derive(Debug)]
struct Exchange {
    receiving: Receiving,
    sending: Sending,
    asked: Asked,
    /// The client reads chunks, trailers and informational responses.
    modern: bool,
    /// Sending the request again would do no harm.
    idempotent: bool,
    /// Something of the response has come.
    answered: bool,
    /// Bytes passed on that have not left us.
    held: usize,
    /// How many it may be.
    window: Window,
    /// What comes is dropped, up to so many bytes.
    discarding: bool,
    to_discard: usize,
    /// The client waits to be told before it sends the body.
    hesitates: bool,
    pending: Pending,
}

/// What is awaited from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    /// A client: the head of the response.
    Head,
    Body(Body),
    /// Whether what comes is of another protocol is yet to be decided.
    Undecided,
    /// Bytes of another protocol.
    Tunnel,
    Done,
}

/// What goes to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// A server: the head of the response.
    Head,
    Body(Framing),
    /// A client: another protocol, if the backend agrees to it.
    Undecided,
    Tunnel,
    Done,
}

/// What waits for room in the output.
#[derive(Debug, Default)]
struct Pending {
    data: Backlog,
    end: bool,
    trailers: Option<Headers>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.data.is_empty() && !self.end && self.trailers.is_none()
    }
}

impl Connection {
    /// The server's end; requests on it have this scheme.
    pub fn server(limits: Arc<Limits>, scheme: &'static [u8]) -> Connection {
        Connection::new(Role::Server, limits, scheme)
    }

    /// The client's end.
    pub fn client(limits: Arc<Limits>) -> Connection {
        Connection::new(Role::Client, limits, b"http")
    }

    fn new(role: Role, limits: Arc<Limits>, scheme: &'static [u8]) -> Connection {
        Connection {
            role,
            width: Width::new(role, &limits),
            limits,
            scheme,
            output: Output::default(),
            number: 0,
            exchange: None,
            scanned: 0,
            closing: false,
            over: false,
            cut_short: false,
            broken: false,
            ends_by_close: false,
            drained: 0,
            held_up: false,
            refusals: Refusals::default(),
        }
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// The bytes to be written.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// How many bytes are to be written.
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// How many exchanges are open: one at most.
    pub fn open_streams(&self) -> usize {
        usize::from(self.exchange.is_some())
    }

    /// Whether an exchange is open.
    pub fn is_busy(&self) -> bool {
        self.exchange.is_some()
    }

    /// Whether this exchange is open: not when all that is left of it is to be dropped.
    pub fn is_open(&self, key: Key) -> bool {
        let current = key.id() == self.number;
        current && self.exchange.as_ref().is_some_and(|exchange| !exchange.is_discarded())
    }

    /// How many more requests the backend takes now.
    pub fn available(&self) -> usize {
        usize::from(self.role == Role::Client && self.exchange.is_none() && !self.is_leaving())
    }

    /// Whether the body that comes is not whole yet.
    pub fn is_in_body(&self) -> bool {
        let receiving = self.exchange.as_ref().map(|exchange| exchange.receiving);
        matches!(receiving, Some(Receiving::Body(_)))
    }

    /// Whether another protocol is spoken by now.
    pub fn is_tunnel(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| {
            exchange.receiving == Receiving::Tunnel || exchange.sending == Sending::Tunnel
        })
    }

    /// Whether nothing more will be written, while something may still be read: a tunnel whose
    /// one direction has ended.
    pub fn is_half_closed(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| {
            exchange.sending == Sending::Done && exchange.receiving == Receiving::Tunnel
        }) && self.output.is_empty()
    }

    /// Bytes that wait here because the reader is slow.
    pub fn pending_bytes(&self) -> usize {
        self.exchange.as_ref().map_or(0, |exchange| exchange.pending.data.len())
    }

    /// The exchange for which bytes wait, and how many.
    pub fn slowest(&self) -> Option<(usize, Key)> {
        self.exchange.as_ref().map(|_| (self.pending_bytes(), self.key()))
    }

    /// The requests that were refused since this was last asked.
    pub fn take_refusals(&mut self) -> Refusals {
        std::mem::take(&mut self.refusals)
    }

    /// Gives up memory that an idle connection does not need.
    pub fn shrink(&mut self) {
        self.output.shrink();
    }

    fn key(&self) -> Key {
        Key::of_exchange(self.number)
    }

    /// The exchange, if it is the one that `key` names.
    fn find(&mut self, key: Key) -> Option<&mut Exchange> {
        let current = key.id() == self.number;
        self.exchange.as_mut().filter(|_| current)
    }

    /// Opens the next exchange.
    fn begin(&mut self, exchange: Exchange) -> Key {
        self.number = self.number.wrapping_add(1);
        self.exchange = Some(exchange);
        self.drained = 0; // what left of the one before is not this one's
        self.key()
    }
}

impl Exchange {
    fn new(receiving: Receiving, asked: Asked) -> Exchange {
        Exchange {
            receiving,
            sending: Sending::Head,
            asked,
            modern: true,
            idempotent: false,
            answered: false,
            held: 0,
            window: Window::default(),
            discarding: false,
            to_discard: end::MOST_DISCARDED,
            hesitates: false,
            pending: Pending::default(),
        }
    }
}
