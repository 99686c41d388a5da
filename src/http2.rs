//! HTTP/2 without I/O, clock or runtime: bytes in, events out; commands in, bytes out; both roles
//! (RFC 9113 and RFC 7541).
//!
//! A [`Connection`] is given what was read and yields [`Event`](crate::http::Event)s; it is told what to send and
//! keeps the bytes to be written in its [`Output`](crate::http::Output). Whatever the peer sends, it does not panic,
//! and what the peer may make it hold or do is bounded by [`Limits`](crate::http::Limits).

mod connection;
mod flow;
mod frame;
mod frame_writer;
pub mod hpack;
mod memo;
mod meter;
mod sent;
mod settings;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod unsent;

pub use connection::Connection;
pub use frame::PREFACE;
