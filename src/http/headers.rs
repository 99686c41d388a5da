//! A header list, copy on write: clones share the fields until one is changed.

mod arena;
mod blanks;
mod pool;

use std::rc::Rc;

use arena::Arena;
pub use pool::HeaderPool;

pub use super::names::Name;
use super::outgoing::Tag;

/// HPACK representation of a field (RFC 7541, section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Indexing {
    /// Indexed, or a literal with incremental indexing.
    #[default]
    Indexed,
    /// A literal without indexing.
    Literal,
    /// A never-indexed literal.
    Never,
}

/// A header field.
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

/// A header list: request head, response head or trailers.
#[derive(Clone, Debug, Default)]
pub struct Headers(Option<Rc<Arena>>);

static EMPTY: Arena = Arena::new();

impl Headers {
    /// An empty list; allocates nothing.
    pub const fn new() -> Headers {
        Headers(None)
    }

    /// Size overhead of a field (RFC 9113, section 6.5.2).
    pub(crate) const FIELD_OVERHEAD: usize = 32;

    fn arena(&self) -> &Arena {
        self.0.as_deref().unwrap_or(&EMPTY)
    }

    /// The arena for writing; a shared one is copied first.
    fn arena_mut(&mut self) -> &mut Arena {
        Rc::make_mut(self.0.get_or_insert_with(|| Rc::new(Arena::new())))
    }

    /// Removes all fields, keeping the memory unless it is shared.
    pub fn clear(&mut self) {
        match self.0.as_mut().and_then(Rc::get_mut) {
            Some(arena) => arena.clear(),
            None => *self = Headers::new(),
        }
    }

    /// Appends a field whose id is known. Callers limit a list to less than 4 GiB; a field beyond
    /// that is dropped.
    pub fn push(&mut self, id: Name, name: &[u8], value: &[u8], indexing: Indexing) {
        self.push_pieces(id, name, &[value], indexing);
    }

    /// As [`Headers::push`], with a value in several slices.
    pub fn push_pieces(&mut self, id: Name, name: &[u8], value: &[&[u8]], indexing: Indexing) {
        self.write(id, name.len(), indexing, |out| {
            out.extend_from_slice(name);
            value.iter().for_each(|piece| out.extend_from_slice(piece));
        });
    }

    /// Appends a field given as name and value concatenated.
    pub(crate) fn push_joined(
        &mut self,
        id: Name,
        joined: &[u8],
        name_len: usize,
        indexing: Indexing,
    ) {
        self.write(id, name_len, indexing, |out| out.extend_from_slice(joined));
    }

    /// Appends a field whose name and value `write` writes.
    fn write(
        &mut self,
        id: Name,
        name_len: usize,
        indexing: Indexing,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let arena = self.arena_mut();
        let begin = arena.bytes.len();
        write(&mut arena.bytes);
        arena.finish(begin, id, name_len, indexing);
    }

    /// Begins a field written in place: name and value are appended to
    /// [`bytes_mut`](Headers::bytes_mut), until it is finished or abandoned.
    pub(crate) fn begin(&self) -> usize {
        self.arena().bytes.len()
    }

    /// The raw bytes, for writing a field in place.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.arena_mut().bytes
    }

    /// Finishes the field begun at `begin`.
    pub(crate) fn finish(&mut self, begin: usize, id: Name, name_len: usize, indexing: Indexing) {
        self.arena_mut().finish(begin, id, name_len, indexing);
    }

    /// Abandons the field begun at `begin`.
    pub(crate) fn abandon(&mut self, begin: usize) {
        self.arena_mut().bytes.truncate(begin);
    }

    /// Appends a field with a known name.
    pub fn add(&mut self, id: Name, value: &[u8]) {
        self.push(id, id.as_str().as_bytes(), value, Indexing::Indexed);
    }

    /// Appends a field by its name in lower case.
    pub fn add_named(&mut self, name: &[u8], value: &[u8]) {
        self.push(Name::of(name), name, value, Indexing::Indexed);
    }

    /// Appends a field with the value of another one, if that exists.
    pub fn add_copy(&mut self, id: Name, of: Name) {
        let Some(range) = self.arena().find(of) else { return };
        let start = (range.start + range.name_len) as usize;
        let value = start..start + range.value_len as usize;
        let name = id.as_str().as_bytes();
        self.write(id, name.len(), Indexing::Indexed, |out| {
            out.extend_from_slice(name);
            out.extend_from_within(value);
        });
    }

    /// Appends a field, lowercasing its name, as HTTP/1.1 needs. Unknown names are not indexed by
    /// HPACK: they may differ on every request.
    pub fn push_lowercased(&mut self, name: &[u8], value: &[u8]) {
        let arena = self.arena_mut();
        let begin = arena.bytes.len();
        arena.bytes.extend(name.iter().map(u8::to_ascii_lowercase));
        let id = Name::of(arena.bytes.get(begin..).unwrap_or_default());
        arena.bytes.extend_from_slice(value);
        let indexing = match id {
            Name::Other | Name::Authorization | Name::Cookie => Indexing::Literal,
            _ => Indexing::Indexed,
        };
        arena.finish(begin, id, name.len(), indexing);
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.arena().ranges.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.arena().ranges.is_empty()
    }

    /// The identity tag that equal lists share.
    pub(crate) fn tag(&self) -> Option<Tag> {
        self.arena().tag
    }

    /// Size as SETTINGS_MAX_HEADER_LIST_SIZE counts it: names, values and 32 bytes a field (RFC
    /// 9113, section 6.5.2).
    pub fn list_size(&self) -> usize {
        self.arena().bytes.len() + Headers::FIELD_OVERHEAD * self.len()
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        let arena = self.arena();
        arena.ranges.iter().map(|range| arena.field(range))
    }

    /// The first value of a field with a known name.
    pub fn get(&self, id: Name) -> Option<&[u8]> {
        let arena = self.arena();
        arena.find(id).map(|range| arena.field(range).value)
    }

    /// The first value of a field by its name in lower case.
    pub fn get_named(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|field| field.name == name).map(|field| field.value)
    }

    /// Keeps the fields that `keep` accepts. The bytes of the others are freed with the list.
    pub fn retain(&mut self, keep: impl FnMut(Field<'_>) -> bool) {
        self.arena_mut().retain(keep);
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
    fn the_first_of_a_name_is_found_wherever_it_is() {
        for before in [0, 1, 253, 254, 255, 300] {
            let mut block = Headers::new();
            (0..before).for_each(|_| block.add_named(b"x-a", b"1"));
            assert_eq!(block.get(Name::Te), None);
            block.add(Name::Te, b"first");
            block.add(Name::Te, b"second");
            assert_eq!(block.get(Name::Te), Some(&b"first"[..]), "behind {before}");
            let mut copy = block.clone();
            block.retain(|field| field.value != b"first" && field.value != b"1");
            assert_eq!(block.get(Name::Te), Some(&b"second"[..]), "behind {before}");
            block.retain(|_| false);
            assert_eq!(block.get(Name::Te), None);
            assert_eq!(copy.get(Name::Te), Some(&b"first"[..]));
            copy.clear();
            assert_eq!(copy.get(Name::Te), None);
        }
    }

    #[test]
    fn names_are_found_by_id() {
        assert_eq!(Name::of(b"grpc-status"), Name::GrpcStatus);
        assert_eq!(Name::of(b"Grpc-Status"), Name::Other);
        assert_eq!(Name::GrpcStatus.as_str(), "grpc-status");
    }
}
