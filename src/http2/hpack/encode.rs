//! The HPACK encoder.

use super::DEFAULT_TABLE_SIZE;
use super::hash::hash;
use super::index::Index;
use super::primitive::{Prefix, write_integer, write_string};
use super::statics::{self, NameKey};
use super::table::{ENTRY_OVERHEAD, Entry, Table};
use crate::http::{Field, Indexing, Name};

/// Fields larger than this share of the table are not inserted: they would evict most of it.
const LARGEST_ENTRY: (usize, usize) = (3, 4);

/// The encoder of one direction of a connection.
///
/// Every field is inserted into the dynamic table, except those that came as literals, and names
/// whose values rarely repeat: they would only evict others.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    index: Index,
    /// Dynamic table size updates due with the next block: the smallest since the last block, and
    /// the current one.
    resized: Option<(u32, u32)>,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl Encoder {
    /// An encoder with the default table size.
    pub fn new() -> Encoder {
        Encoder {
            table: Table::new(DEFAULT_TABLE_SIZE, DEFAULT_TABLE_SIZE),
            index: Index::new(),
            resized: None,
        }
    }

    /// Applies the peer's `SETTINGS_HEADER_TABLE_SIZE`; more than the default is not used.
    pub fn set_max_table_size(&mut self, peer: u32) {
        let size = peer.min(DEFAULT_TABLE_SIZE);
        let smallest = match self.resized {
            Some((smallest, _)) => smallest.min(size),
            None if size as usize == self.table.max_size() => return,
            None => size,
        };
        self.resized = Some((smallest, size));
        self.table.resize(size);
    }

    /// Changes whenever indices change their meaning; `None` while a size update is due.
    pub(in crate::http2) fn generation(&self) -> Option<u64> {
        self.resized.is_none().then(|| self.table.generation())
    }

    /// Encodes one block, appending to `out`.
    pub fn encode<'a>(&mut self, fields: impl Iterator<Item = Field<'a>>, out: &mut Vec<u8>) {
        if let Some((smallest, last)) = self.resized.take() {
            if smallest < last {
                write_integer(out, Prefix::SIZE_UPDATE, smallest);
            }
            write_integer(out, Prefix::SIZE_UPDATE, last);
        }
        for field in fields {
            self.field(&field, out);
        }
    }

    fn field(&mut self, field: &Field<'_>, out: &mut Vec<u8>) {
        let name = NameKey::of(field);
        match field.indexing {
            Indexing::Never => return self.literal(Prefix::NEVER, field, name, out),
            Indexing::Literal => return self.literal(Prefix::LITERAL, field, name, out),
            Indexing::Indexed if is_volatile(field.id) => {
                return self.literal(Prefix::LITERAL, field, name, out);
            }
            Indexing::Indexed => {}
        }
        let hash = hash(name.key, field.value);
        if let Some(index) = self.find(field, name, hash) {
            write_integer(out, Prefix::INDEXED, index);
        } else if self.fits(field) {
            self.literal(Prefix::INCREMENTAL, field, name, out);
            self.insert(field, name, hash);
        } else {
            self.literal(Prefix::LITERAL, field, name, out);
        }
    }

    /// The dynamic table index of this name and value.
    fn find(&self, field: &Field<'_>, name: NameKey, hash: u64) -> Option<u32> {
        name.with_value(field).or_else(|| {
            self.find_dynamic(hash, |entry| {
                entry.has_name_of(field) && entry.value() == field.value
            })
        })
    }

    fn find_dynamic(&self, hash: u64, is_it: impl Fn(Entry<'_>) -> bool) -> Option<u32> {
        let is_it = |age| self.table.get(age).is_some_and(&is_it);
        let age = self.index.find(hash, &self.table, is_it)?;
        Some(statics::COUNT + 1 + age)
    }

    /// Writes a literal, with an indexed name if possible.
    fn literal(&self, prefix: Prefix, field: &Field<'_>, name: NameKey, out: &mut Vec<u8>) {
        let index = name
            .first
            .or_else(|| self.find_dynamic(name_hash(name), |entry| entry.has_name_of(field)));
        write_integer(out, prefix, index.unwrap_or(0));
        if index.is_none() {
            write_string(out, field.name);
        }
        write_string(out, field.value);
    }

    fn fits(&self, field: &Field<'_>) -> bool {
        let (part, whole) = LARGEST_ENTRY;
        let size = field.name.len() + field.value.len() + ENTRY_OVERHEAD;
        size <= self.table.max_size() / whole * part
    }

    fn insert(&mut self, field: &Field<'_>, name: NameKey, hash: u64) {
        self.table.insert(field.id, field.name, field.value);
        self.index.insert(hash, &self.table);
        if name.first.is_none() {
            self.index.insert(name_hash(name), &self.table);
        }
    }
}

/// The hash of a name alone, distinct from the name with an empty value.
fn name_hash(name: NameKey) -> u64 {
    hash(!name.key, &[])
}

/// Names whose values rarely repeat on a connection.
const fn is_volatile(id: Name) -> bool {
    matches!(
        id,
        Name::Date
            | Name::GrpcTimeout
            | Name::Traceparent
            | Name::Tracestate
            | Name::XRequestId
            | Name::ContentLength
            | Name::GrpcMessage
    )
}
