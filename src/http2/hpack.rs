//! HPACK (RFC 7541): header blocks as bytes, to and from [`Headers`](crate::http::Headers).
//!
//! A block that repeats what its table holds, as nearly all blocks of a gRPC connection do, is
//! one copy a field to decode and one hash a field to encode; nothing is allocated for a field.
//!
//! The encoder writes no Huffman code. What repeats is sent once and is an index from then on;
//! what does not is short, and its coding would cost both ends more time than the bytes cost
//! the network.

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

/// The table size of both ends before they have said anything (RFC 9113, section 6.5.2).
const DEFAULT_TABLE_SIZE: u32 = 4096;
