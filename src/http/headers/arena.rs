//! Arena of a header list: all bytes in one buffer, and the ranges of the fields.

use super::{Field, Indexing, Name};
use crate::http::outgoing::Tag;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: u32,
    pub name_len: u32,
    pub value_len: u32,
    pub id: Name,
    pub indexing: Indexing,
}

/// The fields of a list, in order and with duplicates.
#[derive(Clone, Debug)]
pub struct Arena {
    pub bytes: Vec<u8>,
    pub ranges: Vec<Range>,
    /// For each known name, one plus the index of its first field, or 0: each head is searched for
    /// a dozen names. [`LINEAR_FROM`] means that index or a later one.
    first: [u8; Name::COUNT],
    /// The identity tag that equal lists share, until this one is changed.
    pub tag: Option<Tag>,
}

/// From this index on, the search is linear.
const LINEAR_FROM: u8 = u8::MAX;

impl Arena {
    pub const fn new() -> Arena {
        Arena { bytes: Vec::new(), ranges: Vec::new(), first: [0; Name::COUNT], tag: None }
    }

    /// Removes all fields, keeping the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ranges.clear();
        (self.first, self.tag) = ([0; Name::COUNT], None);
    }

    /// Becomes a copy of `other`.
    pub fn copy_from(&mut self, other: &Arena) {
        self.bytes.clone_from(&other.bytes);
        self.ranges.clone_from(&other.ranges);
        (self.first, self.tag) = (other.first, other.tag);
    }

    /// Allocated bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + size_of::<Range>() * self.ranges.capacity()
    }

    /// Finishes the field begun at `begin`. Callers limit a list to less than 4 GiB; a field beyond
    /// that is dropped.
    pub fn finish(&mut self, begin: usize, id: Name, name_len: usize, indexing: Indexing) {
        let end = self.bytes.len();
        if u32::try_from(end).is_err() {
            return self.bytes.truncate(begin);
        }
        self.tag = None;
        self.ranges.push(Range {
            start: begin as u32,
            name_len: name_len as u32,
            value_len: (end - begin - name_len) as u32,
            id,
            indexing,
        });
        note_first(&mut self.first, id, self.ranges.len());
    }

    /// The first field with a known name.
    pub fn find(&self, id: Name) -> Option<&Range> {
        match *self.first.get(id as usize)? {
            0 => None,
            LINEAR_FROM => {
                self.ranges.iter().skip(usize::from(LINEAR_FROM) - 1).find(|range| range.id == id)
            }
            near => self.ranges.get(usize::from(near) - 1),
        }
    }

    pub fn field(&self, range: &Range) -> Field<'_> {
        field(&self.bytes, range)
    }

    /// Keeps the fields that `keep` accepts, and the bytes of all.
    pub fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let Arena { bytes, ranges, first, tag } = self;
        ranges.retain(|range| keep(field(bytes, range)));
        (*first, *tag) = ([0; Name::COUNT], None);
        for (count, range) in (1..).zip(ranges) {
            note_first(first, range.id, count);
        }
    }
}

/// Indexes the `count`th field, if it is the first with its name.
fn note_first(first: &mut [u8; Name::COUNT], id: Name, count: usize) {
    if let Some(first @ 0) = first.get_mut(id as usize) {
        *first = u8::try_from(count).unwrap_or(LINEAR_FROM);
    }
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
