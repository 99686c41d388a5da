//! Blocks to fields.

use thiserror::Error;

use super::DEFAULT_TABLE_SIZE;
use super::primitive::{Prefix, Reader};
use super::statics;
use super::table::{Entry, Table};
use crate::http::{Headers, Indexing, Name};

/// Passing a limit by this factor is fatal, unless a decoder is patient.
const WAY_TOO_LARGE: usize = 4;

/// Why a block cannot be decoded. The table of this end is of no use from then on, so each is
/// an error of the connection: `COMPRESSION_ERROR`, or `ENHANCE_YOUR_CALM` for
/// [`ListWayTooLarge`](DecodeError::ListWayTooLarge).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// A field is not complete.
    #[error("header block ends within a field")]
    Truncated,
    /// An integer is greater than 32 bits hold, or is padded.
    #[error("integer in header block is too long")]
    IntegerOverflow,
    /// Neither table has such an entry.
    #[error("index {0} in header block is in neither table")]
    InvalidIndex(u32),
    /// A string has EOS or a wrong padding.
    #[error("string in header block is no valid Huffman code")]
    InvalidHuffman,
    /// A size update came after a field.
    #[error("table size update within a header block, not at its start")]
    LateSizeUpdate,
    /// A size update passes our setting.
    #[error("table size update to {size} where {max} is allowed")]
    SizeUpdateTooLarge {
        /// What was asked for.
        size: u32,
        /// What is allowed.
        max: u32,
    },
    /// The fields pass a limit four times over.
    #[error("header list is more than four times larger than allowed")]
    ListWayTooLarge,
}

/// What came of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The fields passed a limit, and the rest of them were left out.
    pub too_large: bool,
}

/// One direction of a connection, at its receiver.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    max_table_size: u32,
    /// Passing a limit by this factor is fatal.
    way_too_large: usize,
}

impl Decoder {
    /// `max_table_size` is what we announce as `SETTINGS_HEADER_TABLE_SIZE`. The peer may use
    /// the default of 4096 until it has read that, so less saves nothing here.
    pub fn new(max_table_size: u32) -> Decoder {
        let max_table_size = max_table_size.max(DEFAULT_TABLE_SIZE);
        Decoder {
            table: Table::new(DEFAULT_TABLE_SIZE, max_table_size),
            max_table_size,
            way_too_large: WAY_TOO_LARGE,
        }
    }

    /// Lists of a trusted peer are read to their end, however long they are.
    pub fn patient_with(self, trusted: bool) -> Decoder {
        let way_too_large = if trusted { usize::MAX } else { self.way_too_large };
        Decoder { way_too_large, ..self }
    }

    /// Decodes one complete block and appends its fields to `out`, which the caller has cleared.
    ///
    /// When the list passes `max_size` bytes (as [`Headers::list_size`] counts them) or
    /// `max_count` fields, the rest of it is decoded for the table's sake but left out.
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

    /// Changes whenever a block's indices may mean something else than before.
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

    /// Decodes a literal where its field will lie, which spares a copy, and the table the
    /// question whether its name lived in an entry that it evicts.
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

/// The fields of a block on their way out, held to the limits.
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

    /// Counts a field and tells whether it may be kept.
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
