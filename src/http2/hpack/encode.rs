//! Fields to blocks.

use super::DEFAULT_TABLE_SIZE;
use super::hash::hash;
use super::index::Index;
use super::primitive::{Prefix, write_integer, write_string};
use super::statics::{self, NameKey};
use super::table::{ENTRY_OVERHEAD, Entry, Table};
use crate::http::{Field, Indexing, Name};

/// A field of more than this part of the table would evict most of it.
const LARGEST_ENTRY: (usize, usize) = (3, 4);

/// One direction of a connection, at its sender.
///
/// A field is an index once it has been sent, except where its sender chose a literal, and
/// except for the names whose values seldom come twice: those would only push others out.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    index: Index,
    /// The table sizes to announce with the next block: the smallest since the last, and the
    /// one in force.
    resized: Option<(u32, u32)>,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl Encoder {
    /// With the table size that a peer has before it says otherwise.
    pub fn new() -> Encoder {
        Encoder {
            table: Table::new(DEFAULT_TABLE_SIZE, DEFAULT_TABLE_SIZE),
            index: Index::new(),
            resized: None,
        }
    }

    /// Takes the peer's `SETTINGS_HEADER_TABLE_SIZE`. Of a larger table than the default no use
    /// is made.
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

    /// Counts the changes that give indices another meaning; `None` while there is something to
    /// announce with the next block.
    pub(in crate::http2) fn generation(&self) -> Option<u64> {
        self.resized.is_none().then(|| self.table.generation())
    }

    /// Appends one block to `out`.
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

    /// The index of an entry with this name and value.
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

    /// Writes a literal, its name by index if there is one.
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

/// The hash of a name alone, other than that of the name with an empty value.
fn name_hash(name: NameKey) -> u64 {
    hash(!name.key, &[])
}

/// Names whose values seldom come twice on a connection.
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
