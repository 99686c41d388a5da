//! What both codecs speak: header lists, messages and their rules, events, errors, limits, what
//! waits to be sent. No I/O, no clock, no runtime.

pub(crate) mod authority;
mod backlog;
mod connection;
mod error;
mod event;
mod headers;
mod limits;
pub(crate) mod message;
mod names;
mod outgoing;
mod output;
mod refused;
#[cfg(test)]
mod tests;
pub(crate) mod window;

pub(crate) use backlog::Backlog;
pub use connection::{Key, Role};
pub use error::{Cause, ConnectionError, ErrorCode, Fault};
pub use event::{Event, Gone, OpenError, SendError};
pub use headers::{Field, HeaderPool, Headers, Indexing};
pub use limits::Limits;
pub use names::Name;
pub use outgoing::{Outgoing, Tag, Varying};
pub use output::Output;
pub use refused::{Refusals, Refused};
pub(crate) use window::{Width, Window};

/// Milliseconds on any clock that does not go back.
pub type Millis = u64;
