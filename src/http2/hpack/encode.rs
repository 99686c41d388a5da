//! Fields to blocks.

use super::DEFAULT_TABLE_SIZE;
use super::hash::hash;
use super::index::Index;
use super::primitive::{write_integer, write_string};
use super::statics;
use super::table::{ENTRY_OVERHEAD, Table};
use crate::http2::headers::{Field, Indexing, Name};

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

    /// Appends one block to `out`.
    pub fn encode<'a>(&mut self, fields: impl Iterator<Item = Field<'a>>, out: &mut Vec<u8>) {
        if let Some((smallest, last)) = self.resized.take() {
            if smallest < last {
                write_integer(out, 0x20, 0x1f, smallest);
            }
            write_integer(out, 0x20, 0x1f, last);
        }
        for field in fields {
            self.field(&field, out);
        }
    }

    fn field(&mut self, field: &Field<'_>, out: &mut Vec<u8>) {
        let name_key = statics::name_key(field.id, field.name);
        let static_name = statics::first_of_name(field, name_key);
        let (pattern, mask) = match field.indexing {
            Indexing::Never => (0x10, 0x0f),
            Indexing::Literal => (0, 0x0f),
            Indexing::Indexed if is_volatile(field.id) => (0, 0x0f),
            Indexing::Indexed => {
                let field_hash = hash(name_key, field.value);
                if let Some(index) = self.find(field, static_name, field_hash) {
                    write_integer(out, 0x80, 0x7f, index);
                    return;
                }
                if self.fits(field) {
                    self.name(field, static_name, name_key, 0x40, 0x3f, out);
                    self.insert(field, static_name, name_key, field_hash);
                    write_string(out, field.value);
                    return;
                }
                (0, 0x0f)
            }
        };
        self.name(field, static_name, name_key, pattern, mask, out);
        write_string(out, field.value);
    }

    /// The index of an entry with this name and value.
    fn find(&self, field: &Field<'_>, static_name: Option<u32>, field_hash: u64) -> Option<u32> {
        static_name.and_then(|first| statics::with_value(field, first)).or_else(|| {
            let found = |age| {
                self.table
                    .get(age)
                    .is_some_and(|entry| entry.value() == field.value && entry.name() == field.name)
            };
            let age = self.index.find(field_hash, &self.table, found)?;
            Some(statics::COUNT + 1 + age)
        })
    }

    /// Writes the beginning of a literal and its name, by index if there is one.
    fn name(
        &self,
        field: &Field<'_>,
        static_name: Option<u32>,
        name_key: u64,
        pattern: u8,
        mask: u8,
        out: &mut Vec<u8>,
    ) {
        let index = static_name.or_else(|| {
            let found = |age| self.table.get(age).is_some_and(|entry| entry.name() == field.name);
            let age = self.index.find(name_hash(name_key), &self.table, found)?;
            Some(statics::COUNT + 1 + age)
        });
        match index {
            Some(index) => write_integer(out, pattern, mask, index),
            None => {
                out.push(pattern);
                write_string(out, field.name);
            }
        }
    }

    fn fits(&self, field: &Field<'_>) -> bool {
        let (part, whole) = LARGEST_ENTRY;
        field.name.len() + field.value.len() + ENTRY_OVERHEAD
            <= self.table.max_size() / whole * part
    }

    fn insert(
        &mut self,
        field: &Field<'_>,
        static_name: Option<u32>,
        name_key: u64,
        field_hash: u64,
    ) {
        self.table.insert(field.id, field.name, field.value);
        self.index.insert(field_hash, &self.table);
        if static_name.is_none() {
            self.index.insert(name_hash(name_key), &self.table);
        }
    }
}

/// Sets a name's own hash apart from that of the name with an empty value.
fn name_hash(name_key: u64) -> u64 {
    hash(!name_key, &[])
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
