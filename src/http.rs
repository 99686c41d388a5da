//! The vocabulary of both HTTP codecs: header lists, message validation, events, errors, limits,
//! output buffers, and the trait [`Connection`] that both implement. No I/O, no clock, no runtime.

mod ambiguity;
pub(crate) mod authority;
mod connection;
mod error;
mod event;
mod headers;
mod limits;
pub(crate) mod message;
mod names;
mod outgoing;
mod output;
mod path;
mod refused;
mod send_queue;
#[cfg(test)]
mod tests;
mod underscores;
pub(crate) mod window;

pub use ambiguity::Ambiguity;
pub use connection::{Connection, Key, Role};
pub use error::{Cause, ConnectionError, ErrorCode, Fault};
pub use event::{Event, Gone, OpenError, SendError};
pub use headers::{Field, HeaderPool, Headers, Indexing};
pub use limits::Limits;
pub use names::Name;
pub use outgoing::{Outgoing, Tag, Varying};
pub use output::Output;
pub use path::{PathFault, Paths, check as check_path};
pub use refused::{Refused, RefusedRequests};
pub(crate) use send_queue::SendQueue;
pub use underscores::{Underscores, any_doubtful, is_doubtful};
pub(crate) use window::{Width, Window};

/// Milliseconds of a monotonic clock.
pub type Millis = u64;
