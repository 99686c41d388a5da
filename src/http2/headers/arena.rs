//! The memory of a header block: the bytes of all fields end to end, and where each begins.

use super::{Field, Indexing, Name};
use crate::http2::outgoing::Tag;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: u32,
    pub name_len: u32,
    pub value_len: u32,
    pub id: Name,
    pub indexing: Indexing,
}

/// The fields of a block, in order and with duplicates.
#[derive(Clone, Debug)]
pub struct Arena {
    pub bytes: Vec<u8>,
    pub ranges: Vec<Range>,
    /// A bit for the id of each name that is, or has been, among the fields: what is asked for
    /// is mostly not there.
    ids: u64,
    /// What equal blocks are known by, as long as this one is not changed.
    pub tag: Option<Tag>,
}

// Every id has its bit, or this does not compile.
const _: usize = u64::BITS as usize - Name::COUNT;

impl Arena {
    pub const fn new() -> Arena {
        Arena { bytes: Vec::new(), ranges: Vec::new(), ids: 0, tag: None }
    }

    /// Forgets the fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ranges.clear();
        (self.ids, self.tag) = (0, None);
    }

    /// Becomes a copy of `other`.
    pub fn copy_from(&mut self, other: &Arena) {
        self.bytes.clone_from(&other.bytes);
        self.ranges.clone_from(&other.ranges);
        (self.ids, self.tag) = (other.ids, other.tag);
    }

    /// Bytes of memory that it keeps.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + size_of::<Range>() * self.ranges.capacity()
    }

    /// Makes a field of the bytes since `begin`. A block holds less than 4 GiB by the caller's
    /// limits; a field beyond that is dropped.
    pub fn finish(&mut self, begin: usize, id: Name, name_len: usize, indexing: Indexing) {
        let end = self.bytes.len();
        if u32::try_from(end).is_err() {
            return self.bytes.truncate(begin);
        }
        self.ids |= bit(id);
        self.tag = None;
        self.ranges.push(Range {
            start: begin as u32,
            name_len: name_len as u32,
            value_len: (end - begin - name_len) as u32,
            id,
            indexing,
        });
    }

    /// The first field with a known name.
    pub fn find(&self, id: Name) -> Option<&Range> {
        if self.ids & bit(id) == 0 {
            return None;
        }
        self.ranges.iter().find(|range| range.id == id)
    }

    pub fn field(&self, range: &Range) -> Field<'_> {
        field(&self.bytes, range)
    }

    /// Keeps the fields that `keep` wants, and the bytes of all.
    pub fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        self.tag = None;
        let Arena { bytes, ranges, .. } = self;
        ranges.retain(|range| keep(field(bytes, range)));
    }
}

const fn bit(id: Name) -> u64 {
    1 << id as u8
}

fn field<'a>(bytes: &'a [u8], range: &Range) -> Field<'a> {
    let name_end = range.start as usize + range.name_len as usize;
    let value_end = name_end + range.value_len as usize;
    Field {
        id: range.id,
        name: bytes.get(range.start as usize..name_end).unwrap_or_default(),
        value: bytes.get(name_end..value_end).unwrap_or_default(),
        indexing: range.indexing,
    }
}
