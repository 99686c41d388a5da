//! Dispatch between the HTTP/1.1 and HTTP/2 codecs, so that drivers and streams are protocol
//! agnostic.

mod cancel;
mod refused;
mod undecided;

use std::sync::Arc;

use self::undecided::Undecided;
use crate::http::{
    ConnectionError, ErrorCode, Event, Fault, Gone, HeaderPool, Headers, Key, Limits, OpenError,
    Outgoing, Output, Role, SendError,
};
use crate::http1;
use crate::http2;
use crate::model::Time;

/// One end of a connection.
#[derive(Debug)]
pub enum Codec {
    /// A client's, whose protocol is still to be sniffed.
    Undecided(Undecided),
    /// HTTP/1.1.
    H1(http1::Connection),
    /// HTTP/2.
    H2(Box<http2::Connection>),
}

/// Calls the same method of either codec; while undecided, the `else` expression.
macro_rules! either {
    ($self:ident, $codec:ident => $call:expr, else $none:expr) => {
        match $self {
            Codec::H2($codec) => $call,
            Codec::H1($codec) => $call,
            Codec::Undecided(_) => $none,
        }
    };
}

impl Codec {
    /// The server role, for the protocol negotiated by ALPN, else the one sniffed from the first
    /// bytes.
    pub fn server(limits: Arc<Limits>, scheme: &'static [u8], agreed: Option<&[u8]>) -> Codec {
        match agreed {
            Some(b"h2") => Codec::H2(Box::new(http2::Connection::server(limits))),
            Some(_) => Codec::H1(http1::Connection::server(limits, scheme)),
            None => Codec::Undecided(Undecided::new(limits, scheme)),
        }
    }

    /// The client role of HTTP/1.1.
    pub fn http1_client(limits: Arc<Limits>) -> Codec {
        Codec::H1(http1::Connection::client(limits))
    }

    /// The client role of HTTP/2.
    pub fn http2_client(limits: Arc<Limits>) -> Codec {
        Codec::H2(Box::new(http2::Connection::client(limits)))
    }

    /// Parses events off the front of `input`, and passes DATA to `take`, as the codecs do.
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        now: Time,
        pool: &mut HeaderPool,
        take: impl FnMut(Key, &[u8], bool) -> usize,
    ) -> Result<Option<Event>, ConnectionError> {
        if let Codec::Undecided(undecided) = self {
            match undecided.decide(input) {
                Some(codec) => *self = codec,
                None => return Ok(None),
            }
        }
        match self {
            Codec::H2(h2) => h2.receive(input, now.as_millis(), pool, take),
            Codec::H1(h1) => h1.receive(input, pool, take),
            Codec::Undecided(_) => Ok(None),
        }
    }

    /// End of input (half-close) from the peer; an event where it matters.
    pub fn end_of_input(&mut self) -> Option<Event> {
        match self {
            Codec::H1(h1) => h1.end_of_input(),
            Codec::H2(_) | Codec::Undecided(_) => None,
        }
    }

    /// The connection has failed; an event where it matters.
    pub fn broken_off(&mut self) -> Option<Event> {
        match self {
            Codec::H1(h1) => h1.broken_off(),
            Codec::H2(_) | Codec::Undecided(_) => None,
        }
    }

    /// The HTTP/1.1 codec, if it is one.
    pub fn http1(&self) -> Option<&http1::Connection> {
        match self {
            Codec::H1(h1) => Some(h1),
            Codec::H2(_) | Codec::Undecided(_) => None,
        }
    }

    /// Whether parsing is blocked, as with a pipelined request.
    pub fn is_blocked(&self) -> bool {
        matches!(self, Codec::H1(h1) if h1.is_blocked())
    }

    /// Whether, with `waiting` unparsed bytes, a frame or head has begun that the frame timeout
    /// applies to.
    pub fn is_unfinished(&self, waiting: usize) -> bool {
        match self {
            Codec::H2(h2) => h2.in_header_block() || waiting > 0,
            Codec::H1(h1) => h1.is_unfinished(waiting),
            Codec::Undecided(_) => waiting > 0,
        }
    }

    /// Whether a header block awaits its CONTINUATION frames.
    pub fn in_header_block(&self) -> bool {
        matches!(self, Codec::H2(h2) if h2.in_header_block())
    }

    /// Whether the preface and SETTINGS exchange is complete.
    pub fn is_introduced(&self) -> bool {
        match self {
            Codec::H2(h2) => h2.settings_seen() && h2.settings_acked(),
            Codec::H1(_) => true,
            Codec::Undecided(_) => false,
        }
    }

    /// Whether the peer's SETTINGS have come, so that its stream limit is known.
    pub fn is_ready(&self) -> bool {
        match self {
            Codec::H2(h2) => h2.settings_seen(),
            Codec::H1(_) => true,
            Codec::Undecided(_) => false,
        }
    }

    /// Client or server.
    pub fn role(&self) -> Role {
        either!(self, codec => codec.role(), else Role::Server)
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Arc<Limits> {
        match self {
            Codec::H2(h2) => h2.limits(),
            Codec::H1(h1) => h1.limits(),
            Codec::Undecided(undecided) => &undecided.limits,
        }
    }

    /// The output buffer.
    pub fn output(&mut self) -> &mut Output {
        match self {
            Codec::H2(h2) => h2.output(),
            Codec::H1(h1) => h1.output(),
            Codec::Undecided(undecided) => &mut undecided.output,
        }
    }

    /// Bytes in the output buffer.
    pub fn output_len(&self) -> usize {
        either!(self, codec => codec.output_len(), else 0)
    }

    /// Open streams.
    pub fn open_streams(&self) -> usize {
        either!(self, codec => codec.open_streams(), else 0)
    }

    /// Whether any open stream is not discarded.
    pub fn is_busy(&self) -> bool {
        either!(self, codec => codec.is_busy(), else false)
    }

    /// Whether the stream is open.
    pub fn is_open(&self, key: Key) -> bool {
        either!(self, codec => codec.is_open(key), else false)
    }

    /// Streams that may be opened now.
    pub fn available(&self) -> usize {
        either!(self, codec => codec.available(), else 0)
    }

    /// Whether no stream will be opened here again.
    pub fn is_leaving(&self) -> bool {
        either!(self, codec => codec.is_leaving(), else false)
    }

    /// The flood budget that a backend exceeded, if its connection was retired for that.
    pub fn retired(&self) -> Option<Fault> {
        if let Codec::H2(h2) = self { h2.retired() } else { None }
    }

    /// Bytes queued for sending on a stream.
    pub fn unsent(&self, key: Key) -> usize {
        match self {
            Codec::H2(h2) => h2.unsent(key),
            Codec::H1(h1) if h1.is_open(key) => h1.pending_bytes(),
            Codec::H1(_) | Codec::Undecided(_) => 0,
        }
    }

    /// Bytes queued on all streams, waiting for flow control.
    pub fn pending_bytes(&self) -> usize {
        either!(self, codec => codec.pending_bytes(), else 0)
    }

    /// The stream with the most queued bytes, and how many.
    pub fn slowest(&self) -> Option<(usize, Key)> {
        either!(self, codec => codec.slowest(), else None)
    }

    /// Announces a graceful shutdown: over HTTP/2 a GOAWAY, and a PING whose ACK says that the peer
    /// has seen it.
    pub fn announce_leave(&mut self, ping: [u8; 8]) {
        match self {
            Codec::H2(h2) => h2.announce_leave(ping),
            Codec::H1(h1) => h1.announce_leave(),
            Codec::Undecided(_) => {}
        }
    }

    /// Refuses new streams from now on (the final GOAWAY).
    pub fn leave(&mut self) {
        match self {
            Codec::H2(h2) => h2.leave(ErrorCode::NO_ERROR, ""),
            Codec::H1(h1) => h1.leave(),
            Codec::Undecided(_) => {}
        }
    }

    /// Frees memory that an idle connection does not need.
    pub fn shrink(&mut self) {
        either!(self, codec => codec.shrink(), else {});
    }

    /// Opens a stream with the head of a request.
    pub fn open<'a>(
        &mut self,
        list: impl Outgoing<'a>,
        end: bool,
        now: Time,
    ) -> Result<Key, OpenError> {
        match self {
            Codec::H2(h2) => h2.open(list, end, now.as_millis()),
            Codec::H1(h1) => h1.open(list, end),
            Codec::Undecided(_) => Err(OpenError::Unavailable),
        }
    }

    /// Sends the head of a response.
    pub fn send_head<'a>(
        &mut self,
        key: Key,
        list: impl Outgoing<'a>,
        end: bool,
    ) -> Result<(), SendError> {
        either!(self, codec => codec.send_head(key, list, end), else Err(SendError::Gone))
    }

    /// Sends an informational response.
    pub fn send_informational(&mut self, key: Key, headers: &Headers) -> Result<(), SendError> {
        either!(self, codec => codec.send_informational(key, headers), else Err(SendError::Gone))
    }

    /// Sends DATA.
    pub fn send_data(&mut self, key: Key, payload: &[u8], end: bool) -> Result<usize, Gone> {
        either!(self, codec => codec.send_data(key, payload, end), else Err(Gone))
    }

    /// Sends trailers.
    pub fn send_trailers(&mut self, key: Key, trailers: &Headers) -> Result<(), SendError> {
        either!(self, codec => codec.send_trailers(key, trailers), else Err(SendError::Gone))
    }

    /// Resets a stream.
    pub fn reset(&mut self, key: Key, code: ErrorCode) {
        either!(self, codec => codec.reset(key, code), else {});
    }

    /// Discards further DATA of a stream.
    pub fn discard(&mut self, key: Key) {
        either!(self, codec => codec.discard(key), else {});
    }

    /// Returns credit to the peer on a stream (WINDOW_UPDATE).
    pub fn release(&mut self, key: Key, bytes: usize) {
        either!(self, codec => codec.release(key, bytes), else {});
    }

    /// Shrinks the receive windows for slow readers, or restores them.
    pub fn set_narrow(&mut self, narrow: bool) {
        either!(self, codec => codec.set_narrow(narrow), else {});
    }

    /// Pauses DATA while the socket does not accept output; bodies stay queued.
    pub fn hold(&mut self, hold: bool) {
        either!(self, codec => codec.hold(hold), else {});
    }

    /// Moves queued DATA into the output, as windows allow.
    pub fn pump(&mut self) {
        either!(self, codec => codec.pump(), else {});
    }

    /// A stream of which queued bytes have left, and how many.
    pub fn next_drained(&mut self) -> Option<(Key, usize)> {
        either!(self, codec => codec.next_drained(), else None)
    }
}
