//! HTTP/1.1, sans I/O (RFC 9110 and RFC 9112): bytes in, events out; commands in, bytes out; client
//! and server role; no clock, no runtime.
//!
//! A [`Connection`] carries one exchange at a time. Heads are converted to HTTP/2's form:
//! pseudo-headers first, lowercase names, hop-by-hop fields removed. Nothing ambiguous is ever
//! forwarded (request smuggling): it is refused, and every head and framing sent is generated here.
//!
//! Strict where leniency has let requests be smuggled: CRLF line ends, no line folding, one `host`,
//! one `content-length` and never with `transfer-encoding`, of which only `chunked` is known.

mod body;
mod connection;
mod head;
mod hop_by_hop;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod write;

pub use connection::Connection;
