//! What a connection tells, and why it refuses what it is told.

use super::{Cause, ErrorCode, Headers, Key};

/// What the peer did, beside sending bodies.
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
    /// HTTP/1.1: what was open to the end of the connection has come to its end with it.
    End {
        /// The stream.
        key: Key,
    },
    /// The stream is gone before its end.
    Reset {
        /// The stream; it takes nothing any more.
        key: Key,
        /// The code that was received or sent.
        code: ErrorCode,
        /// Whose doing it was.
        cause: Cause,
    },
    /// The peer's settings have changed, or come for the first time.
    Settings,
    /// The peer takes no more streams. Each that it says it never looked at is reset next, as
    /// [`Cause::Unprocessed`].
    GoAway {
        /// Why.
        code: ErrorCode,
    },
    /// Our PING was answered.
    Pong([u8; 8]),
}

/// The stream that was spoken of is over; nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Why headers were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The stream is over.
    Gone,
    /// The peer has declared that it takes no list of this size.
    TooLarge,
}

/// Why no stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The peer takes no stream now, or never again on this connection.
    Unavailable,
    /// The peer has declared that it takes no list of this size.
    TooLarge,
}
