//! One end of a connection, whichever protocol it speaks.

use std::sync::Arc;

use super::{
    ConnectionError, ErrorCode, Event, Fault, Gone, HeaderPool, Headers, Limits, Millis, OpenError,
    Outgoing, Output, RefusedRequests, SendError,
};

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens streams.
    Client,
    /// Answers them.
    Server,
}

/// Identifies a stream of a connection: a slot in the stream table, and the id, which tells it from
/// earlier ones in that slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub(crate) slot: u32,
    pub(crate) id: u32,
}

impl Key {
    /// The key of an exchange on an HTTP/1.1 connection.
    pub(crate) const fn of_exchange(number: u32) -> Key {
        Key { slot: 0, id: number }
    }

    /// A small index, unique among the open streams.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// The stream's id on the wire.
    pub const fn id(self) -> u32 {
        self.id
    }
}

/// One end of a connection: bytes in, events out; commands in, bytes out. HTTP/1.1 carries one
/// stream at a time.
pub trait Connection {
    /// Client or server.
    fn role(&self) -> Role;

    /// The limits it was made with.
    fn limits(&self) -> &Arc<Limits>;

    /// Parses `input` from the front until there is an event; `None` when more input is needed, or
    /// parsing [is blocked](Connection::is_blocked). To be called until it yields `None`, then
    /// [`Connection::pump`].
    ///
    /// DATA is passed to `take`: each piece without padding, and whether it ends the stream; only
    /// then it may be empty. It returns how many bytes of credit the peer gets back at once, for
    /// earlier pieces too; the rest is returned by [`Connection::release`].
    ///
    /// # Errors
    /// A connection error. The GOAWAY or error response is in the output; further input is ignored.
    fn receive(
        &mut self,
        input: &mut &[u8],
        now: Millis,
        pool: &mut HeaderPool,
        take: impl FnMut(Key, &[u8], bool) -> usize,
    ) -> Result<Option<Event>, ConnectionError>;

    /// End of input (half-close) from the peer; an event where it completes or truncates a message.
    fn end_of_input(&mut self) -> Option<Event>;

    /// The connection was lost; an event where a request may be sent again for that.
    fn connection_lost(&mut self) -> Option<Event>;

    /// Whether parsing is blocked: on a pipelined request, or on a slow reader.
    fn is_blocked(&self) -> bool;

    /// Whether, with `waiting` unparsed bytes, a frame or head has begun that the frame timeout
    /// applies to.
    fn is_unfinished(&self, waiting: usize) -> bool;

    /// Whether a header block awaits its CONTINUATION frames.
    fn in_header_block(&self) -> bool;

    /// Whether the preface and SETTINGS exchange is complete.
    fn is_introduced(&self) -> bool;

    /// Whether the peer's SETTINGS have come, so that its stream limit is known.
    fn is_ready(&self) -> bool;

    /// Takes the refusals since the last call.
    fn take_refused(&mut self) -> RefusedRequests;

    /// Number of open streams.
    fn open_streams(&self) -> usize;

    /// Whether any open stream matters: for a client, one that it has not discarded.
    fn is_busy(&self) -> bool;

    /// Whether the stream is open.
    fn is_open(&self, key: Key) -> bool;

    /// Streams that may be opened now. None before the connection [is ready](Connection::is_ready),
    /// or when it [is leaving](Connection::is_leaving).
    fn available(&self) -> usize;

    /// Opens a stream with the head of a request; `end` when no body follows.
    ///
    /// # Errors
    /// When [`Connection::available`] is 0, or the peer takes no list of this size.
    fn open<'a>(
        &mut self,
        list: impl Outgoing<'a>,
        end: bool,
        now: Millis,
    ) -> Result<Key, OpenError>;

    /// Sends the head of a response; `end` when neither body nor trailers follow.
    ///
    /// # Errors
    /// When the stream is over or has its head, or the peer takes no list of this size.
    fn send_head<'a>(
        &mut self,
        key: Key,
        list: impl Outgoing<'a>,
        end: bool,
    ) -> Result<(), SendError>;

    /// Sends an informational response, if the client supports them.
    ///
    /// # Errors
    /// As [`Connection::send_head`].
    fn send_informational(&mut self, key: Key, list: &Headers) -> Result<(), SendError>;

    /// Sends DATA, or queues it until the peer's windows and the output have room. Returns how many
    /// bytes are in the output; [`Connection::next_drained`] reports the others.
    ///
    /// # Errors
    /// When the stream is over.
    fn send_data(&mut self, key: Key, payload: &[u8], end: bool) -> Result<usize, Gone>;

    /// Sends trailers after the queued DATA, where the framing allows them.
    ///
    /// # Errors
    /// When the stream is over, or the peer takes no list of this size.
    fn send_trailers(&mut self, key: Key, trailers: &Headers) -> Result<(), SendError>;

    /// Aborts a stream.
    fn reset(&mut self, key: Key, code: ErrorCode);

    /// Discards further DATA of a stream, which ends with the response.
    fn discard(&mut self, key: Key);

    /// Discards further DATA of a stream and its queued output, ahead of its reset.
    fn abandon(&mut self, key: Key);

    /// Removes a request from the output if none of its bytes has left, so that the peer never sees
    /// it; whether it could.
    fn take_back(&mut self, key: Key) -> bool;

    /// Earliest time for a reset of a stream opened lately; `None` while its head is still in the
    /// output.
    fn resettable_from(&self, key: Key) -> Option<Millis>;

    /// RST_STREAM frames sent in the connection's lifetime.
    fn resets_sent(&self) -> u64;

    /// Returns `bytes` of credit on a stream, once they have left.
    fn release(&mut self, key: Key, bytes: usize);

    /// Shrinks the receive windows of a backend for slow readers, or restores them.
    fn set_narrow(&mut self, narrow: bool);

    /// The output buffer.
    fn output(&mut self) -> &mut Output;

    /// Bytes in the output buffer.
    fn output_len(&self) -> usize;

    /// Pauses DATA while the socket is full: it stays queued on its streams.
    fn hold(&mut self, hold: bool);

    /// Moves queued DATA into the output, as far as windows and room allow.
    fn pump(&mut self);

    /// A stream of which queued bytes have left, and how many.
    fn next_drained(&mut self) -> Option<(Key, usize)>;

    /// Bytes queued on a stream.
    fn unsent(&self, key: Key) -> usize;

    /// Bytes queued on all streams.
    fn pending_bytes(&self) -> usize;

    /// The stream with the most queued bytes, and how many.
    fn slowest(&self) -> Option<(usize, Key)>;

    /// Frees memory that an idle connection does not need.
    fn shrink(&mut self);

    /// Announces a graceful shutdown that refuses nothing yet: over HTTP/2 a GOAWAY, and a PING
    /// whose ACK says that the peer has seen it.
    fn announce_leave(&mut self, ping: [u8; 8]);

    /// Refuses new streams from now on; open ones go on.
    fn leave(&mut self);

    /// Whether no stream will be opened here again.
    fn is_leaving(&self) -> bool;

    /// The flood budget that a backend exceeded, if its connection was retired for that.
    fn retired(&self) -> Option<Fault>;
}
