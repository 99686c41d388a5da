//! The connection state machine: one exchange at a time.

mod end;
mod interface;
mod receive;
mod send;

use std::sync::Arc;

use super::body::Body;
use super::response::RequestContext;
use super::write::Framing;
use crate::http::{Headers, Key, Limits, Output, RefusedRequests, Role, SendQueue, Width, Window};

/// One end of an HTTP/1.1 connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: Arc<Limits>,
    /// URI scheme of the requests a server reads.
    scheme: &'static [u8],
    output: Output,
    /// The number of the current or last exchange.
    number: u32,
    exchange: Option<Exchange>,
    /// How far a partial head has been scanned.
    scanned: usize,
    /// The connection closes after this exchange.
    closing: bool,
    /// No further exchange can begin.
    over: bool,
    /// The client may still be sending a request body that is discarded.
    cut_short: bool,
    /// A message was truncated.
    broken: bool,
    /// The message sent is delimited by the end of the connection.
    ends_by_close: bool,
    drained: usize,
    /// The base window.
    width: Width,
    /// The socket is full.
    held_up: bool,
    refusals: RefusedRequests,
}

/// One request and its response.
#[derive(Debug)]
struct Exchange {
    receiving: Receiving,
    sending: Sending,
    asked: RequestContext,
    /// The client is HTTP/1.1: it knows chunks, trailers and informational responses.
    is_http11: bool,
    /// The request is idempotent.
    idempotent: bool,
    /// The response has begun.
    answered: bool,
    /// Bytes forwarded whose credit was not returned yet.
    held: usize,
    /// The limit of `held`.
    window: Window,
    /// Discarding: how many more bytes of the request may be dropped.
    discarding: bool,
    to_discard: usize,
    /// The client awaits `100 Continue` before the body.
    awaits_continue: bool,
    pending: Pending,
}

/// State of the receiving direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    /// A client: the head of the response.
    Head,
    Body(Body),
    /// An upgrade is requested but not answered yet.
    Undecided,
    /// Tunnel of an upgraded protocol.
    Tunnel,
    Done,
}

/// State of the sending direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// A server: the head of the response.
    Head,
    Body(Framing),
    /// A client: an upgrade is requested but not answered yet.
    Undecided,
    Tunnel,
    Done,
}

/// Output queued until there is room.
#[derive(Debug, Default)]
struct Pending {
    data: SendQueue,
    end: bool,
    trailers: Option<Headers>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.data.is_empty() && !self.end && self.trailers.is_none()
    }
}

impl Connection {
    /// A server, whose requests have this scheme.
    pub fn server(limits: Arc<Limits>, scheme: &'static [u8]) -> Connection {
        Connection::new(Role::Server, limits, scheme)
    }

    /// A client.
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
            refusals: RefusedRequests::default(),
        }
    }

    /// Whether a body is being received.
    pub fn is_in_body(&self) -> bool {
        let receiving = self.exchange.as_ref().map(|exchange| exchange.receiving);
        matches!(receiving, Some(Receiving::Body(_)))
    }

    /// Whether it is a tunnel whose sending direction is closed.
    pub fn is_half_closed(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| {
            exchange.sending == Sending::Done && exchange.receiving == Receiving::Tunnel
        }) && self.output.is_empty()
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
        self.drained = 0; // belongs to the previous exchange
        self.key()
    }
}

impl Exchange {
    fn new(receiving: Receiving, asked: RequestContext) -> Exchange {
        Exchange {
            receiving,
            sending: Sending::Head,
            asked,
            is_http11: true,
            idempotent: false,
            answered: false,
            held: 0,
            window: Window::default(),
            discarding: false,
            to_discard: end::MAX_DISCARDED,
            awaits_continue: false,
            pending: Pending::default(),
        }
    }
}
