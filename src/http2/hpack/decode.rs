//! The HPACK decoder.

use thiserror::Error;

use super::DEFAULT_TABLE_SIZE;
use super::primitive::{Prefix, Reader};
use super::statics;
use super::table::{Entry, Table};
use crate::http::{Headers, Indexing, Name};

/// Exceeding a limit by this factor is a connection error, unless the peer is trusted.
const WAY_TOO_LARGE: usize = 4;

/// Why a block cannot be decoded. The dynamic tables are out of sync from then on, so each is a
/// connection error: `COMPRESSION_ERROR`, or `ENHANCE_YOUR_CALM` for
/// [`ListWayTooLarge`](DecodeError::ListWayTooLarge).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// A field is incomplete.
    #[error("header block ends within a field")]
    Truncated,
    /// An integer exceeds 32 bits or is padded.
    #[error("integer in header block is too long")]
    IntegerOverflow,
    /// Neither table has this index.
    #[error("index {0} in header block is in neither table")]
    InvalidIndex(u32),
    /// A string contains EOS or has invalid padding.
    #[error("string in header block is no valid Huffman code")]
    InvalidHuffman,
    /// A dynamic table size update came after a field.
    #[error("table size update within a header block, not at its start")]
    LateSizeUpdate,
    /// A dynamic table size update exceeds our setting.
    #[error("table size update to {size} where {max} is allowed")]
    SizeUpdateTooLarge {
        /// The requested size.
        size: u32,
        /// The allowed size.
        max: u32,
    },
    /// The header list exceeds a limit four times over.
    #[error("header list is more than four times larger than allowed")]
    ListWayTooLarge,
}

/// The result of decoding a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The list exceeded a limit, and the remaining fields were omitted.
    pub too_large: bool,
}

/// The decoder of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    max_table_size: u32,
    /// Exceeding a limit by this factor is a connection error.
    way_too_large: usize,
}

impl Decoder {
    /// `max_table_size` is announced as `SETTINGS_HEADER_TABLE_SIZE`. The peer may use the default
    /// of 4096 until it has seen that, so less saves nothing here.
    pub fn new(max_table_size: u32) -> Decoder {
        let max_table_size = max_table_size.max(DEFAULT_TABLE_SIZE);
        Decoder {
            table: Table::new(DEFAULT_TABLE_SIZE, max_table_size),
            max_table_size,
            way_too_large: WAY_TOO_LARGE,
        }
    }

    /// A trusted peer's lists are decoded to the end, however long.
    pub fn trusting(self, trusted: bool) -> Decoder {
        let way_too_large = if trusted { usize::MAX } else { self.way_too_large };
        Decoder { way_too_large, ..self }
    }

    /// Decodes one complete block and appends its fields to `out`, which the caller has cleared.
    ///
    /// When the list exceeds `max_size` bytes (as [`Headers::list_size`] counts) or `max_count`
    /// fields, the rest is decoded only to keep the table in sync.
    pub fn decode(
        &mut self,
        block: &[u8],
        max_size: usize,
        max_count: usize,
        out: &mut Headers,
    ) -> Result<Decoded, DecodeError> {
        let mut reader = Reader::new(block);
        let way_too_large = self.way_too_large;
        let mut list = List { out, size: 0, count: 0, max_size, max_count, way_too_large };
        let mut begun = false;
        while let Some(first) = reader.byte() {
            if Prefix::INDEXED.begins(first) {
                let index = reader.integer(first, Prefix::INDEXED)?;
                list.push(self.entry(index)?)?;
            } else if Prefix::INCREMENTAL.begins(first) {
                self.literal(&mut reader, first, Indexing::Indexed, &mut list)?;
            } else if !Prefix::SIZE_UPDATE.begins(first) {
                let indexing =
                    if Prefix::NEVER.begins(first) { Indexing::Never } else { Indexing::Literal };
                self.literal(&mut reader, first, indexing, &mut list)?;
            } else if begun {
                return Err(DecodeError::LateSizeUpdate);
            } else {
                self.resize(reader.integer(first, Prefix::SIZE_UPDATE)?)?;
                continue;
            }
            begun = true;
        }
        Ok(Decoded { too_large: list.is_too_large() })
    }

    /// Changes whenever indices change their meaning.
    pub(in crate::http2) fn generation(&self) -> u64 {
        self.table.generation()
    }

    fn entry(&self, index: u32) -> Result<Entry<'_>, DecodeError> {
        let entry = match index.checked_sub(statics::COUNT + 1) {
            Some(age) => self.table.get(age),
            None => statics::entry(index),
        };
        entry.ok_or(DecodeError::InvalidIndex(index))
    }

    fn resize(&mut self, size: u32) -> Result<(), DecodeError> {
        let max = self.max_table_size;
        if size > max {
            return Err(DecodeError::SizeUpdateTooLarge { size, max });
        }
        self.table.resize(size);
        Ok(())
    }

    /// Decodes a literal in place, which saves a copy, and so its name stays valid even if
    /// inserting it evicts the entry that the name came from.
    fn literal(
        &mut self,
        reader: &mut Reader<'_>,
        first: u8,
        indexing: Indexing,
        list: &mut List<'_>,
    ) -> Result<(), DecodeError> {
        let prefix = match indexing {
            Indexing::Indexed => Prefix::INCREMENTAL,
            Indexing::Literal => Prefix::LITERAL,
            Indexing::Never => Prefix::NEVER,
        };
        let index = reader.integer(first, prefix)?;
        let field = list.out.begin();
        let bytes = list.out.bytes_mut();
        let (id, name_len) = if index == 0 {
            reader.string(bytes)?;
            let name = bytes.get(field..).unwrap_or_default();
            (Name::of(name), name.len())
        } else {
            let entry = self.entry(index)?;
            bytes.extend_from_slice(entry.name());
            (entry.id, entry.name_len)
        };
        reader.string(bytes)?;
        let joined = bytes.get(field..).unwrap_or_default();
        if indexing == Indexing::Indexed {
            let (name, value) = joined.split_at_checked(name_len).unwrap_or_default();
            self.table.insert(id, name, value);
        }
        let len = joined.len();
        if list.admit(len)? {
            list.out.finish(field, id, name_len, indexing);
        } else {
            list.out.abandon(field);
        }
        Ok(())
    }
}

/// The header list being decoded, held to the limits.
struct List<'a> {
    out: &'a mut Headers,
    size: usize,
    count: usize,
    max_size: usize,
    max_count: usize,
    way_too_large: usize,
}

impl List<'_> {
    fn push(&mut self, entry: Entry<'_>) -> Result<(), DecodeError> {
        if self.admit(entry.joined.len())? {
            self.out.push_joined(entry.id, entry.joined, entry.name_len, Indexing::Indexed);
        }
        Ok(())
    }

    /// Counts a field; whether it is within the limits.
    fn admit(&mut self, len: usize) -> Result<bool, DecodeError> {
        self.size = self.size.saturating_add(len + Headers::FIELD_OVERHEAD);
        self.count += 1;
        if !self.is_too_large() {
            return Ok(true);
        }
        let way_too_large = self.size > self.max_size.saturating_mul(self.way_too_large)
            || self.count > self.max_count.saturating_mul(self.way_too_large);
        if way_too_large {
            return Err(DecodeError::ListWayTooLarge);
        }
        Ok(false)
    }

    fn is_too_large(&self) -> bool {
        self.size > self.max_size || self.count > self.max_count
    }
}
