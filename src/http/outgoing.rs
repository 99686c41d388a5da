//! Header lists to be encoded.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use super::headers::{Field, Headers, Indexing, Name};

/// A header list to be encoded.
pub trait Outgoing<'a>: Copy {
    /// The fields in order, except for a varying last one.
    fn fields(self) -> impl Iterator<Item = Field<'a>> + Clone;

    /// The last field, if its value changes every time (such as a deadline). The tag excludes it,
    /// so that the others need not be encoded again. None for HTTP/1.1, which has no tags.
    fn varying(self) -> Option<Varying> {
        None
    }

    /// Whether the method is HEAD (RFC 9110, section 9.3.2).
    fn asks_for_head(self) -> bool;

    /// An identity tag for [`fields`](Outgoing::fields), if it has one: equal tags mean equal
    /// fields, which need not be encoded twice.
    fn tag(self) -> Option<Tag>;
}

/// A field with a short value that varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Varying {
    id: Name,
    value: [u8; Varying::MAX_LEN],
    len: u8,
}

impl Varying {
    /// Maximum length of the value.
    pub const MAX_LEN: usize = 16;

    /// The field of this name; `None` if its value is too long.
    pub fn new(id: Name, value: &[u8]) -> Option<Varying> {
        let mut varying = Varying { id, value: [0; _], len: u8::try_from(value.len()).ok()? };
        varying.value.get_mut(..value.len())?.copy_from_slice(value);
        Some(varying)
    }

    /// The field, never indexed.
    pub fn field(&self) -> Field<'_> {
        Field {
            id: self.id,
            name: self.id.as_str().as_bytes(),
            value: self.value.get(..usize::from(self.len)).unwrap_or_default(),
            indexing: Indexing::Literal,
        }
    }
}

/// An identity tag: lists with the same tag are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(NonZeroU64);

impl Tag {
    /// Bits for the variants derived from one list.
    const VARIANT_BITS: u32 = 8;

    /// A unique tag.
    pub(crate) fn unique() -> Option<Tag> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed) << Tag::VARIANT_BITS).map(Tag)
    }

    /// The tag of the list derived from this one by transformation `variant`; 0 is the list itself.
    pub fn variant(self, variant: u8) -> Tag {
        Tag(self.0 | u64::from(variant))
    }

    /// A slot for a direct-mapped cache.
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
