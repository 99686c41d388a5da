//! HTTP/2 without I/O, clock or runtime: bytes in, events out; commands in, bytes out; both roles
//! (RFC 9113 and RFC 7541).
//!
//! A [`Connection`] is given what was read and yields [`Event`]s; it is told what to send and
//! keeps the bytes to be written in its [`Output`]. Whatever the peer sends, it does not panic,
//! and what the peer may make it hold or do is bounded by [`Limits`].

pub(crate) mod authority;
mod backlog;
mod connection;
mod error;
mod frame;
pub mod headers;
pub mod hpack;
pub mod limits;
mod memo;
pub(crate) mod message;
mod meter;
mod names;
mod outgoing;
mod output;
mod refused;
mod sent;
mod settings;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod unsent;
mod window;

pub use backlog::Backlog;
pub use connection::{Connection, Event, Gone, OpenError, Role, SendError};
pub use error::{Cause, ConnectionError, ErrorCode, Fault};
pub use frame::PREFACE;
pub use headers::{Field, HeaderPool, Headers, Indexing, Name};
pub use limits::Limits;
pub use outgoing::{Outgoing, Tag, Varying};
pub use output::Output;
pub use refused::{Refusals, Refused};
pub use stream::Key;
pub use window::{Width, Window};

/// Milliseconds on any clock that does not go back.
pub type Millis = u64;
