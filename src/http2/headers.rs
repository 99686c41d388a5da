//! A header block as one flat arena: the bytes of all fields end to end, and where each begins.
//!
//! Order and duplicates are kept. A cleared block keeps its memory for the next.

mod pool;

pub use pool::HeaderPool;

pub use super::names::Name;
use super::outgoing::Tag;

/// How a field was, or is to be, represented in HPACK (RFC 7541, section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Indexing {
    /// From or into the table.
    #[default]
    Indexed,
    /// A literal that stays out of the table.
    Literal,
    /// A literal that no hop may ever put into a table.
    Never,
}

/// One field of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The id of its name.
    pub id: Name,
    /// Its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// How it is represented.
    pub indexing: Indexing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u32,
    name_len: u32,
    value_len: u32,
    id: Name,
    indexing: Indexing,
}

/// A header block: request head, response head or trailers.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    bytes: Vec<u8>,
    ranges: Vec<Range>,
    /// A bit for the id of each name that is, or has been, among the fields: what is asked for
    /// is mostly not there.
    ids: u64,
    /// What equal blocks are known by, as long as this one is not changed.
    tag: Option<Tag>,
}

// Every id has its bit, or this does not compile.
const _: usize = u64::BITS as usize - Name::COUNT;

impl Headers {
    /// An empty block; allocates nothing.
    pub const fn new() -> Headers {
        Headers { bytes: Vec::new(), ranges: Vec::new(), ids: 0, tag: None }
    }

    /// What a field counts beside its bytes (RFC 9113, section 6.5.2).
    pub(super) const FIELD_OVERHEAD: usize = 32;

    /// Forgets the fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ranges.clear();
        (self.ids, self.tag) = (0, None);
    }

    /// Bytes of memory that it keeps.
    fn capacity(&self) -> usize {
        self.bytes.capacity() + size_of::<Range>() * self.ranges.capacity()
    }

    /// Whether both are the same to whoever encodes them.
    fn is_twin(&self, other: &Headers) -> bool {
        self.bytes == other.bytes && self.ranges == other.ranges
    }

    /// Becomes a copy of `other`.
    pub(super) fn copy_from(&mut self, other: &Headers) {
        self.clear();
        self.bytes.extend_from_slice(&other.bytes);
        self.ranges.extend_from_slice(&other.ranges);
        (self.ids, self.tag) = (other.ids, other.tag);
    }

    /// Appends a field whose id is known. A block holds less than 4 GiB by the caller's limits;
    /// a field beyond that is dropped.
    pub fn push(&mut self, id: Name, name: &[u8], value: &[u8], indexing: Indexing) {
        let field = self.begin();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.finish(field, id, name.len(), indexing);
    }

    /// As [`Headers::push`], with a value in pieces.
    pub fn push_pieces(&mut self, id: Name, name: &[u8], value: &[&[u8]], indexing: Indexing) {
        let field = self.begin();
        self.bytes.extend_from_slice(name);
        value.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        self.finish(field, id, name.len(), indexing);
    }

    /// Appends a field whose name and value lie end to end.
    pub(super) fn push_joined(
        &mut self,
        id: Name,
        joined: &[u8],
        name_len: usize,
        indexing: Indexing,
    ) {
        let field = self.begin();
        self.bytes.extend_from_slice(joined);
        self.finish(field, id, name_len, indexing);
    }

    /// Where a field begins whose name and value are then appended to
    /// [`bytes_mut`](Headers::bytes_mut), until it is finished or abandoned.
    pub(super) fn begin(&self) -> usize {
        self.bytes.len()
    }

    /// The arena, to append the bytes of one field.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes a field of the bytes since `begin`.
    pub(super) fn finish(&mut self, begin: usize, id: Name, name_len: usize, indexing: Indexing) {
        let end = self.bytes.len();
        if u32::try_from(end).is_err() {
            return self.abandon(begin);
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

    /// Drops the bytes since `begin`.
    pub(super) fn abandon(&mut self, begin: usize) {
        self.bytes.truncate(begin);
    }

    /// Appends a field with a known name.
    pub fn add(&mut self, id: Name, value: &[u8]) {
        self.push(id, id.as_str().as_bytes(), value, Indexing::Indexed);
    }

    /// Appends a field by its name in lower case.
    pub fn add_named(&mut self, name: &[u8], value: &[u8]) {
        self.push(Name::of(name), name, value, Indexing::Indexed);
    }

    /// Appends a field with the value that another one has, if there is that one.
    pub fn add_copy(&mut self, id: Name, of: Name) {
        let Some(range) = self.find(of) else { return };
        let start = (range.start + range.name_len) as usize;
        let value = start..start + range.value_len as usize;
        let field = self.begin();
        self.bytes.extend_from_slice(id.as_str().as_bytes());
        self.bytes.extend_from_within(value);
        self.finish(field, id, id.as_str().len(), Indexing::Indexed);
    }

    /// Appends a field by its name in any case, as HTTP/1.1 brings it. What nobody here knows is
    /// not put into a table: it may be different on every request.
    pub fn push_folded(&mut self, name: &[u8], value: &[u8]) {
        let field = self.begin();
        self.bytes.extend(name.iter().map(u8::to_ascii_lowercase));
        let id = Name::of(self.bytes.get(field..).unwrap_or_default());
        self.bytes.extend_from_slice(value);
        let indexing = match id {
            Name::Other | Name::Authorization | Name::Cookie => Indexing::Literal,
            _ => Indexing::Indexed,
        };
        self.finish(field, id, name.len(), indexing);
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// What equal blocks are known by.
    pub(super) fn tag(&self) -> Option<Tag> {
        self.tag
    }

    /// The size by which peers limit a block: names, values and 32 bytes a field
    /// (RFC 9113, section 6.5.2).
    pub fn list_size(&self) -> usize {
        self.bytes.len() + Headers::FIELD_OVERHEAD * self.ranges.len()
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        self.ranges.iter().map(|range| self.field(range))
    }

    /// The first value of a field with a known name.
    pub fn get(&self, id: Name) -> Option<&[u8]> {
        self.find(id).map(|range| self.field(range).value)
    }

    /// The first value of a field by its name in lower case.
    pub fn get_named(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|field| field.name == name).map(|field| field.value)
    }

    /// Keeps the fields that `keep` wants. The bytes of the others stay until the block is
    /// cleared.
    pub fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        self.tag = None;
        let Headers { bytes, ranges, .. } = self;
        ranges.retain(|range| keep(field(bytes, range)));
    }

    fn find(&self, id: Name) -> Option<&Range> {
        if self.ids & bit(id) == 0 {
            return None;
        }
        self.ranges.iter().find(|range| range.id == id)
    }

    fn field(&self, range: &Range) -> Field<'_> {
        field(&self.bytes, range)
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

impl PartialEq for Headers {
    fn eq(&self, other: &Headers) -> bool {
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|(a, b)| (a.name, a.value) == (b.name, b.value))
    }
}

impl Eq for Headers {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_duplicates() {
        let mut block = Headers::new();
        block.add(Name::Path, b"/a.B/C");
        block.add_named(b"x-a", b"1");
        block.add_named(b"x-a", b"2");
        assert_eq!(block.get(Name::Path), Some(&b"/a.B/C"[..]));
        assert_eq!(block.get_named(b"x-a"), Some(&b"1"[..]));
        let values: Vec<_> = block.iter().map(|f| f.value.to_vec()).collect();
        assert_eq!(values, [&b"/a.B/C"[..], b"1", b"2"]);
        assert_eq!(block.list_size(), 5 + 6 + 4 + 4 + 96);
        block.retain(|f| f.value != b"1");
        assert_eq!(block.get_named(b"x-a"), Some(&b"2"[..]));
    }

    #[test]
    fn names_are_found_by_id() {
        assert_eq!(Name::of(b"grpc-status"), Name::GrpcStatus);
        assert_eq!(Name::of(b"Grpc-Status"), Name::Other);
        assert_eq!(Name::GrpcStatus.as_str(), "grpc-status");
    }
}
