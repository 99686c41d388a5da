//! The choice between the codecs at run time, so that drivers and streams are protocol agnostic.

use std::sync::Arc;

use crate::http::{
    Connection, ConnectionError, ErrorCode, Event, Fault, Gone, HeaderPool, Headers, Key, Limits,
    Millis, OpenError, Outgoing, Output, RefusedRequests, Role, SendError,
};
use crate::http1;
use crate::http2::{self, PREFACE};

/// One end of a connection.
#[derive(Debug)]
pub enum Codec {
    /// HTTP/1.1.
    H1 {
        /// The connection.
        h1: Box<http1::Connection>,
        /// A client's, whose first bytes may still be those of HTTP/2.
        undecided: bool,
    },
    /// HTTP/2.
    H2(Box<http2::Connection>),
}

impl Codec {
    /// The server role, for the protocol negotiated by ALPN, else the one sniffed from the first
    /// bytes.
    pub fn server(limits: Arc<Limits>, scheme: &'static [u8], agreed: Option<&[u8]>) -> Codec {
        match agreed {
            Some(b"h2") => Codec::H2(Box::new(http2::Connection::server(limits))),
            _ => Codec::H1 {
                h1: Box::new(http1::Connection::server(limits, scheme)),
                undecided: agreed.is_none(),
            },
        }
    }

    /// The client role of HTTP/1.1.
    pub fn http1_client(limits: Arc<Limits>) -> Codec {
        Codec::H1 { h1: Box::new(http1::Connection::client(limits)), undecided: false }
    }

    /// The client role of HTTP/2.
    pub fn http2_client(limits: Arc<Limits>) -> Codec {
        Codec::H2(Box::new(http2::Connection::client(limits)))
    }

    /// The HTTP/1.1 codec, if it is one.
    pub fn http1(&self) -> Option<&http1::Connection> {
        match self {
            Codec::H1 { h1, .. } => Some(h1),
            Codec::H2(_) => None,
        }
    }

    /// Sends a PING over HTTP/2; HTTP/1.1 has none.
    pub fn ping(&mut self, payload: [u8; 8]) {
        if let Codec::H2(h2) = self {
            h2.ping(payload);
        }
    }

    /// Whether HEADERS or DATA of HTTP/2 were received since the last call.
    pub fn take_received_message(&mut self) -> bool {
        if let Codec::H2(h2) = self { h2.take_received_message() } else { false }
    }

    /// Sniffs the protocol from the first bytes of a client, if these suffice.
    fn decide(&mut self, input: &[u8]) {
        if let Codec::H1 { h1, undecided: undecided @ true } = self {
            if input.starts_with(PREFACE) {
                *self = Codec::H2(Box::new(http2::Connection::server(Arc::clone(h1.limits()))));
            } else {
                *undecided = PREFACE.starts_with(input);
            }
        }
    }

    fn is_undecided(&self) -> bool {
        matches!(self, Codec::H1 { undecided: true, .. })
    }
}

/// Evaluates the expression for the codec in use.
macro_rules! either {
    ($self:ident, $codec:ident => $call:expr) => {
        match $self {
            Codec::H2($codec) => $call,
            Codec::H1 { h1: $codec, .. } => $call,
        }
    };
}

/// A method that calls the same method of the codec in use.
macro_rules! delegate {
    (fn $name:ident(&self $(, $argument:ident: $type:ty)*) $(-> $result:ty)?) => {
        fn $name(&self $(, $argument: $type)*) $(-> $result)? {
            either!(self, codec => codec.$name($($argument),*))
        }
    };
    (fn $name:ident(&mut self $(, $argument:ident: $type:ty)*) $(-> $result:ty)?) => {
        fn $name(&mut self $(, $argument: $type)*) $(-> $result)? {
            either!(self, codec => codec.$name($($argument),*))
        }
    };
}

impl Connection for Codec {
    fn receive(
        &mut self,
        input: &mut &[u8],
        now: Millis,
        pool: &mut HeaderPool,
        take: impl FnMut(Key, &[u8], bool) -> usize,
    ) -> Result<Option<Event>, ConnectionError> {
        self.decide(input);
        if self.is_undecided() {
            return Ok(None);
        }
        either!(self, codec => codec.receive(input, now, pool, take))
    }

    fn is_introduced(&self) -> bool {
        !self.is_undecided() && either!(self, codec => codec.is_introduced())
    }

    fn open<'a>(
        &mut self,
        list: impl Outgoing<'a>,
        end: bool,
        now: Millis,
    ) -> Result<Key, OpenError> {
        either!(self, codec => codec.open(list, end, now))
    }

    fn send_head<'a>(
        &mut self,
        key: Key,
        list: impl Outgoing<'a>,
        end: bool,
    ) -> Result<(), SendError> {
        either!(self, codec => codec.send_head(key, list, end))
    }

    /// A client that has sent nothing yet is not told to leave: its request may be in flight.
    fn announce_leave(&mut self, ping: [u8; 8]) {
        if !self.is_undecided() {
            either!(self, codec => codec.announce_leave(ping));
        }
    }

    fn leave(&mut self) {
        if !self.is_undecided() {
            either!(self, codec => codec.leave());
        }
    }

    delegate!(fn role(&self) -> Role);
    delegate!(fn limits(&self) -> &Arc<Limits>);
    delegate!(fn end_of_input(&mut self) -> Option<Event>);
    delegate!(fn connection_lost(&mut self) -> Option<Event>);
    delegate!(fn is_blocked(&self) -> bool);
    delegate!(fn is_unfinished(&self, waiting: usize) -> bool);
    delegate!(fn in_header_block(&self) -> bool);
    delegate!(fn is_ready(&self) -> bool);
    delegate!(fn take_refused(&mut self) -> RefusedRequests);
    delegate!(fn open_streams(&self) -> usize);
    delegate!(fn is_busy(&self) -> bool);
    delegate!(fn is_open(&self, key: Key) -> bool);
    delegate!(fn available(&self) -> usize);
    delegate!(fn send_informational(&mut self, key: Key, list: &Headers) -> Result<(), SendError>);
    delegate!(fn send_data(&mut self, key: Key, payload: &[u8], end: bool) -> Result<usize, Gone>);
    delegate!(fn send_trailers(&mut self, key: Key, trailers: &Headers) -> Result<(), SendError>);
    delegate!(fn reset(&mut self, key: Key, code: ErrorCode));
    delegate!(fn discard(&mut self, key: Key));
    delegate!(fn abandon(&mut self, key: Key));
    delegate!(fn take_back(&mut self, key: Key) -> bool);
    delegate!(fn resettable_from(&self, key: Key) -> Option<Millis>);
    delegate!(fn resets_sent(&self) -> u64);
    delegate!(fn release(&mut self, key: Key, bytes: usize));
    delegate!(fn set_narrow(&mut self, narrow: bool));
    delegate!(fn output(&mut self) -> &mut Output);
    delegate!(fn output_len(&self) -> usize);
    delegate!(fn hold(&mut self, hold: bool));
    delegate!(fn pump(&mut self));
    delegate!(fn next_drained(&mut self) -> Option<(Key, usize)>);
    delegate!(fn unsent(&self, key: Key) -> usize);
    delegate!(fn pending_bytes(&self) -> usize);
    delegate!(fn slowest(&self) -> Option<(usize, Key)>);
    delegate!(fn shrink(&mut self));
    delegate!(fn is_leaving(&self) -> bool);
    delegate!(fn retired(&self) -> Option<Fault>);
}
