//! HTTP/2 without I/O, clock or runtime: bytes in, events out; commands in, bytes out; both roles.

pub mod headers;
pub mod hpack;
pub mod limits;

pub use headers::{Field, Headers, Indexing, Name};
pub use limits::Limits;
