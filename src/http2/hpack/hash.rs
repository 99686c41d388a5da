//! A fast multiply-fold hash for the encoder's tables, usable in constants.
//!
//! Unkeyed: a peer that provokes collisions only spoils the compression of its own connection,
//! since lookups are bounded and hits verified.

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;

/// Mixes `bytes` into `state`.
pub(in crate::http2) const fn hash(mut state: u64, mut bytes: &[u8]) -> u64 {
    state ^= bytes.len() as u64;
    while let Some((chunk, rest)) = bytes.split_first_chunk::<8>() {
        state = fold(state, u64::from_le_bytes(*chunk));
        bytes = rest;
    }
    let mut tail = 0;
    if let Some((chunk, rest)) = bytes.split_first_chunk::<4>() {
        tail = u32::from_le_bytes(*chunk) as u64;
        bytes = rest;
    }
    if let Some((chunk, rest)) = bytes.split_first_chunk::<2>() {
        tail = tail << 16 | u16::from_le_bytes(*chunk) as u64;
        bytes = rest;
    }
    if let [byte, ..] = bytes {
        tail = tail << 8 | *byte as u64;
    }
    fold(state, tail)
}

/// Both halves of a 128-bit product, so that every bit reaches every other.
const fn fold(state: u64, word: u64) -> u64 {
    let product = (state ^ SEED) as u128 * (word ^ FACTOR) as u128;
    product as u64 ^ (product >> 64) as u64
}
