//! HPACK (RFC 7541): decoding and encoding header blocks to and from
//! [`Headers`](crate::http::Headers).
//!
//! A block of indexed fields, as nearly all blocks of a gRPC connection are, costs one copy a field
//! to decode and one hash a field to encode; nothing is allocated per field.
//!
//! The encoder does not use the Huffman code: repeated fields are indices after the first time, and the
//! rest is short, so coding would cost both ends more time than it saves the network.

mod decode;
mod encode;
mod hash;
mod huffman;
mod index;
mod primitive;
mod statics;
mod table;

#[cfg(test)]
mod tests;

pub use decode::{DecodeError, Decoded, Decoder};
pub use encode::Encoder;
pub(super) use hash::hash;

/// The initial SETTINGS_HEADER_TABLE_SIZE (RFC 9113, section 6.5.2).
const DEFAULT_TABLE_SIZE: u32 = 4096;
