//! Integers and strings (RFC 7541, section 5), and the prefixes that distinguish representations.

use super::decode::DecodeError;
use super::huffman;

/// The first byte of an integer: the pattern of its upper bits, and the mask of its own bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    pub(super) pattern: u8,
    pub(super) mask: u8,
}

impl Prefix {
    /// A field that is an entry (RFC 7541, section 6.1).
    pub(super) const INDEXED: Prefix = Prefix::new(0x80, 0x7f);
    /// A literal that becomes an entry (section 6.2.1).
    pub(super) const INCREMENTAL: Prefix = Prefix::new(0x40, 0x3f);
    /// A literal that does not (section 6.2.2).
    pub(super) const LITERAL: Prefix = Prefix::new(0x00, 0x0f);
    /// A literal that never may (section 6.2.3).
    pub(super) const NEVER: Prefix = Prefix::new(0x10, 0x0f);
    /// A new size of the table (section 6.3).
    pub(super) const SIZE_UPDATE: Prefix = Prefix::new(0x20, 0x1f);
    /// The length of a string without Huffman code (section 5.2).
    pub(super) const PLAIN: Prefix = Prefix::new(0x00, 0x7f);
    /// The length of a string in Huffman code.
    pub(super) const HUFFMAN: Prefix = Prefix::new(0x80, 0x7f);

    pub(super) const fn new(pattern: u8, mask: u8) -> Prefix {
        Prefix { pattern, mask }
    }

    /// Whether `first` has the bit of the pattern. The highest bit decides, so check patterns with higher
    /// bits first.
    pub(super) const fn begins(self, first: u8) -> bool {
        first & self.pattern != 0
    }
}

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

    /// The integer whose first byte is `first`.
    #[inline]
    pub(super) fn integer(&mut self, first: u8, prefix: Prefix) -> Result<u32, DecodeError> {
        let value = first & prefix.mask;
        if value < prefix.mask {
            return Ok(value.into());
        }
        self.long_integer(value)
    }

    #[cold]
    fn long_integer(&mut self, base: u8) -> Result<u32, DecodeError> {
        let mut value = u64::from(base);
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

    /// Appends the next string to `out`.
    pub(super) fn string(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let first = self.byte().ok_or(DecodeError::Truncated)?;
        let len = self.integer(first, Prefix::PLAIN)? as usize;
        let (string, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        if Prefix::HUFFMAN.begins(first) {
            return huffman::decode(string, out).ok_or(DecodeError::InvalidHuffman);
        }
        out.extend_from_slice(string);
        Ok(())
    }
}

/// Appends an integer.
#[inline]
pub(super) fn write_integer(out: &mut Vec<u8>, prefix: Prefix, value: u32) {
    let Prefix { pattern, mask } = prefix;
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

/// Appends a string without Huffman code. Strings come from [`Headers`](crate::http::Headers), so
/// their lengths fit 32 bits.
pub(super) fn write_string(out: &mut Vec<u8>, string: &[u8]) {
    write_integer(out, Prefix::PLAIN, string.len() as u32);
    out.extend_from_slice(string);
}
