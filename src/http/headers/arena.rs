//! The memory of a header block: the bytes of all fields end to end, and where each begins.

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

/// The fields of a block, in order and with duplicates.
#[derive(Clone, Debug)]
pub struct Arena {
    pub bytes: Vec<u8>,
    pub ranges: Vec<Range>,
    /// For each name, how many fields there are up to its first one, or 0 where there is none:
    /// heads are asked for a dozen names before they leave. [`FAR`] stands for that and more.
    first: [u8; Name::COUNT],
    /// What equal blocks are known by, as long as this one is not changed.
    pub tag: Option<Tag>,
}

/// A first field that is so far behind is searched from here on.
const FAR: u8 = u8::MAX;

impl Arena {
    pub const fn new() -> Arena {
        Arena { bytes: Vec::new(), ranges: Vec::new(), first: [0; Name::COUNT], tag: None }
    }

    /// Forgets the fields and keeps the memory.
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
            FAR => self.ranges.iter().skip(usize::from(FAR) - 1).find(|range| range.id == id),
            near => self.ranges.get(usize::from(near) - 1),
        }
    }

    pub fn field(&self, range: &Range) -> Field<'_> {
        field(&self.bytes, range)
    }

    /// Keeps the fields that `keep` wants, and the bytes of all.
    pub fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let Arena { bytes, ranges, first, tag } = self;
        ranges.retain(|range| keep(field(bytes, range)));
        (*first, *tag) = ([0; Name::COUNT], None);
        for (count, range) in (1..).zip(ranges) {
            note_first(first, range.id, count);
        }
    }
}

/// Notes that the `count`th field has this name.
fn note_first(first: &mut [u8; Name::COUNT], id: Name, count: usize) {
    if let Some(first @ 0) = first.get_mut(id as usize) {
        *first = u8::try_from(count).unwrap_or(FAR);
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
