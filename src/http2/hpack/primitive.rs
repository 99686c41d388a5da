//! Integers and strings (RFC 7541, section 5).

use super::decode::DecodeError;
use super::huffman;

/// Top bit of a string's length: the string is in Huffman code.
const HUFFMAN: u8 = 0x80;

/// Reads a block from its start.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(block: &'a [u8]) -> Reader<'a> {
        Reader { rest: block }
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// The integer whose first byte is `first`, with a prefix of the bits in `mask`.
    #[inline]
    pub(super) fn integer(&mut self, first: u8, mask: u8) -> Result<u32, DecodeError> {
        let prefix = first & mask;
        if prefix < mask {
            return Ok(prefix.into());
        }
        self.long_integer(mask)
    }

    #[cold]
    fn long_integer(&mut self, mask: u8) -> Result<u32, DecodeError> {
        let mut value = u64::from(mask);
        // Five continuation bytes hold all of 32 bits; more would only pad or overflow.
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte().ok_or(DecodeError::Truncated)?;
            value += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return value.try_into().map_err(|_| DecodeError::IntegerOverflow);
            }
        }
        Err(DecodeError::IntegerOverflow)
    }

    /// Appends the string that comes next to `out`.
    pub(super) fn string(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let first = self.byte().ok_or(DecodeError::Truncated)?;
        let len = self.integer(first, !HUFFMAN)? as usize;
        let (string, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        if first & HUFFMAN == 0 {
            out.extend_from_slice(string);
            Ok(())
        } else {
            huffman::decode(string, out).ok_or(DecodeError::InvalidHuffman)
        }
    }
}

/// Appends an integer with a prefix of the bits in `mask`, the bits above being `pattern`.
#[inline]
pub(super) fn write_integer(out: &mut Vec<u8>, pattern: u8, mask: u8, value: u32) {
    if value < mask.into() {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask);
    let mut rest = value - u32::from(mask);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a string as it is. Strings come from [`Headers`](crate::http2::Headers), so their
/// lengths fit 32 bits.
pub(super) fn write_string(out: &mut Vec<u8>, string: &[u8]) {
    write_integer(out, 0, !HUFFMAN, string.len() as u32);
    out.extend_from_slice(string);
}
