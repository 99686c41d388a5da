//! Connection and stream errors, and their codes.

use std::fmt;

/// An error code of RFC 9113, section 7. Unknown ones are kept as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

#[allow(missing_docs)] // the RFC's own names
impl ErrorCode {
    pub const NO_ERROR: ErrorCode = ErrorCode(0);
    pub const PROTOCOL_ERROR: ErrorCode = ErrorCode(1);
    pub const INTERNAL_ERROR: ErrorCode = ErrorCode(2);
    pub const FLOW_CONTROL_ERROR: ErrorCode = ErrorCode(3);
    pub const SETTINGS_TIMEOUT: ErrorCode = ErrorCode(4);
    pub const STREAM_CLOSED: ErrorCode = ErrorCode(5);
    pub const FRAME_SIZE_ERROR: ErrorCode = ErrorCode(6);
    pub const REFUSED_STREAM: ErrorCode = ErrorCode(7);
    pub const CANCEL: ErrorCode = ErrorCode(8);
    pub const COMPRESSION_ERROR: ErrorCode = ErrorCode(9);
    pub const CONNECT_ERROR: ErrorCode = ErrorCode(10);
    pub const ENHANCE_YOUR_CALM: ErrorCode = ErrorCode(11);
    pub const INADEQUATE_SECURITY: ErrorCode = ErrorCode(12);
    pub const HTTP_1_1_REQUIRED: ErrorCode = ErrorCode(13);
}

/// The violation for which a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Any other protocol error.
    Protocol,
    /// A flow-control window was exceeded or overflowed.
    FlowControl,
    /// A frame of a wrong size.
    FrameSize,
    /// A header block that cannot be decoded.
    Compression,
    /// A frame on a stream that is closed.
    StreamClosed,
    /// A header list far beyond the limit.
    Headers,
    /// A header block in too many pieces.
    Continuation,
    /// Too many streams reset by the peer.
    Resets,
    /// Too large a share of streams reset right after opening (rapid reset).
    PrematureResets,
    /// Too many streams that we had to reset.
    Errors,
    /// Too many PING frames.
    Pings,
    /// Too many SETTINGS frames.
    Settings,
    /// Too many frames that do nothing.
    IdleFrames,
    /// Too many WINDOW_UPDATE frames.
    WindowUpdates,
    /// Too many empty DATA frames.
    EmptyData,
    /// Too much framing for too little payload.
    Overhead,
}

/// A connection error. Its GOAWAY is in the output already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// The code that is sent to the peer.
    pub code: ErrorCode,
    /// The violation.
    pub fault: Fault,
    /// A description, also sent to the peer.
    pub detail: &'static str,
}

impl ConnectionError {
    pub(crate) const fn new(code: ErrorCode, fault: Fault, detail: &'static str) -> Self {
        ConnectionError { code, fault, detail }
    }

    pub(crate) const fn protocol(detail: &'static str) -> Self {
        Self::new(ErrorCode::PROTOCOL_ERROR, Fault::Protocol, detail)
    }

    pub(crate) const fn frame_size(detail: &'static str) -> Self {
        Self::new(ErrorCode::FRAME_SIZE_ERROR, Fault::FrameSize, detail)
    }

    pub(crate) const fn flow_control(detail: &'static str) -> Self {
        Self::new(ErrorCode::FLOW_CONTROL_ERROR, Fault::FlowControl, detail)
    }

    pub(crate) const fn stream_closed(detail: &'static str) -> Self {
        Self::new(ErrorCode::STREAM_CLOSED, Fault::StreamClosed, detail)
    }

    pub(crate) const fn calm(fault: Fault, detail: &'static str) -> Self {
        Self::new(ErrorCode::ENHANCE_YOUR_CALM, fault, detail)
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail)
    }
}

impl std::error::Error for ConnectionError {}

/// Why a stream was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer reset it.
    Peer,
    /// A stream error of the peer; the stream was reset.
    Malformed(&'static str),
    /// Its header list exceeded the limit; the stream was reset.
    TooLarge,
    /// The peer's GOAWAY says that it was not processed.
    Unprocessed,
}
