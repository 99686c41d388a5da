//! HTTP/2, sans I/O (RFC 9113 and RFC 7541): bytes in, events out; commands in, bytes out; client
//! and server role; no clock, no runtime.
//!
//! A [`Connection`] parses input into [`Event`](crate::http::Event)s, takes commands, and keeps the
//! bytes to be written in its [`Output`](crate::http::Output). No input makes it panic, and what a
//! peer can make it hold or do is bounded by [`Limits`](crate::http::Limits).

mod connection;
mod decode_cache;
mod encode_cache;
mod flood_guard;
mod flow;
mod frame;
mod frame_writer;
pub mod hpack;
mod settings;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod unsent;

pub use connection::Connection;
pub use frame::PREFACE;
