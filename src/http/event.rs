//! Events of a connection, and errors of its commands.

use super::{Cause, ErrorCode, Headers, Key};

/// What the peer did, except for sending DATA.
#[derive(Debug)]
pub enum Event {
    /// Server: a stream was opened.
    Request {
        /// The new stream.
        key: Key,
        /// The head, well-formed.
        headers: Headers,
        /// No body and no trailers follow.
        end: bool,
    },
    /// Server: a stream was opened with more header fields than the limit allows.
    Oversized {
        /// The new stream.
        key: Key,
        /// Those fields of the head that fit.
        headers: Headers,
    },
    /// Client: an informational response came; the final one follows.
    Informational {
        /// The stream.
        key: Key,
        /// Its head.
        headers: Headers,
    },
    /// Client: the response came.
    Response {
        /// The stream.
        key: Key,
        /// The head, well-formed.
        headers: Headers,
        /// No body and no trailers follow.
        end: bool,
    },
    /// The trailers, which end the stream.
    Trailers {
        /// The stream.
        key: Key,
        /// The fields, well-formed.
        headers: Headers,
    },
    /// HTTP/1.1: a body delimited by the end of the connection is complete.
    End {
        /// The stream.
        key: Key,
    },
    /// The stream was reset.
    Reset {
        /// The stream, now closed.
        key: Key,
        /// The code that was received or sent.
        code: ErrorCode,
        /// Which side caused it.
        cause: Cause,
    },
    /// The peer's settings have changed, or come for the first time.
    Settings,
    /// The peer has sent GOAWAY. Each stream that it did not process is reset next, as
    /// [`Cause::Unprocessed`].
    GoAway {
        /// Why.
        code: ErrorCode,
        /// Because of PINGs of ours, as gRPC servers say it.
        too_many_pings: bool,
    },
    /// PING ACK.
    Pong([u8; 8]),
}

/// The stream is closed; nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Why headers were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The stream is over.
    Gone,
    /// The list exceeds the peer's SETTINGS_MAX_HEADER_LIST_SIZE.
    TooLarge,
}

/// Why no stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The peer's stream limit is reached, or the connection is leaving.
    Unavailable,
    /// The list exceeds the peer's SETTINGS_MAX_HEADER_LIST_SIZE.
    TooLarge,
}
