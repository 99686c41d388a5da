//! Header lists on their way out.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use super::headers::{Field, Headers, Indexing, Name};

/// A header list on its way out.
pub trait Outgoing<'a>: Copy {
    /// The fields in order, but for the last if that varies.
    fn fields(self) -> impl Iterator<Item = Field<'a>> + Clone;

    /// The last field, if its value is another whenever the list is sent. The tag is that of the
    /// others, which need not be encoded anew for its sake. HTTP/1.1, where heads have no tags, is
    /// given none.
    fn varying(self) -> Option<Varying> {
        None
    }

    /// Whether it asks for the head of a response alone (RFC 9110, section 9.3.2).
    fn asks_for_head(self) -> bool;

    /// A tag that lists with other [`fields`](Outgoing::fields) do not have, if this list has one:
    /// then they need not be encoded twice.
    fn tag(self) -> Option<Tag>;
}

/// A field with a short value that varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Varying {
    id: Name,
    value: [u8; Varying::LONGEST],
    len: u8,
}

impl Varying {
    /// Bytes that the value may have.
    pub const LONGEST: usize = 16;

    /// The field of this name; nothing if its value is too long.
    pub fn new(id: Name, value: &[u8]) -> Option<Varying> {
        let mut varying = Varying { id, value: [0; _], len: u8::try_from(value.len()).ok()? };
        varying.value.get_mut(..value.len())?.copy_from_slice(value);
        Some(varying)
    }

    /// The field, which has no place in any table.
    pub fn field(&self) -> Field<'_> {
        Field {
            id: self.id,
            name: self.id.as_str().as_bytes(),
            value: self.value.get(..usize::from(self.len)).unwrap_or_default(),
            indexing: Indexing::Literal,
        }
    }
}

/// What equal lists are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(NonZeroU64);

impl Tag {
    /// Bits of a tag that tell apart what was made of one list.
    const VARIANT_BITS: u32 = 8;

    /// A tag that nothing else has.
    pub(crate) fn unique() -> Option<Tag> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed) << Tag::VARIANT_BITS).map(Tag)
    }

    /// The tag of what the way of making lists called `variant` makes of the list with this one.
    /// The list as it is, is variant 0.
    pub fn variant(self, variant: u8) -> Tag {
        Tag(self.0 | u64::from(variant))
    }

    /// A small number that few other tags have.
    pub(crate) fn slot(self, slots: usize) -> usize {
        (self.0.get() >> Tag::VARIANT_BITS) as usize % slots
    }
}

impl<'a> Outgoing<'a> for &'a Headers {
    fn fields(self) -> impl Iterator<Item = Field<'a>> + Clone {
        self.iter()
    }

    fn asks_for_head(self) -> bool {
        self.get(Name::Method) == Some(b"HEAD")
    }

    fn tag(self) -> Option<Tag> {
        Headers::tag(self)
    }
}
