//! HTTP/1.1 without I/O, clock or runtime: bytes in, events out; commands in, bytes out; both
//! roles (RFC 9110 and RFC 9112).
//!
//! A [`Connection`] has the shape of [`http2::Connection`](crate::http2::Connection) with one
//! exchange at a time: the driver, the streams and the relay do not know which of the two they
//! move. Heads come out as they would from HTTP/2: pseudo-headers first, names in lower case,
//! nothing of what concerns one connection alone. So no form that two parsers might read in two
//! ways is ever passed on: what is ambiguous is refused, and every head and every framing that
//! leaves was made here.
//!
//! Strict where leniency has let requests be smuggled: lines end with CRLF, no folded lines, one
//! `host`, one `content-length` and never beside `transfer-encoding`, of which `chunked` alone is
//! known.

mod body;
mod connection;
mod head;
mod hop;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod write;

pub use connection::Connection;
