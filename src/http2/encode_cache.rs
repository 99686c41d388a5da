//! Encode cache: header lists sent before and the blocks they encode to.
//!
//! A list from the [decode cache](super::decode_cache) of the connection it arrived on has a tag.
//! While the encoder's table is unchanged, equal tags mean an equal block, which is copied.

use crate::http::Tag;

/// Cached blocks per connection.
const SLOTS: usize = 32;

/// Longer blocks are not cached.
const MAX_BLOCK: usize = 1 << 10;

/// The encode cache of one connection, direct mapped.
#[derive(Debug, Default)]
pub struct EncodeCache {
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Tag of the last list of this slot.
    tag: Option<Tag>,
    /// Generation of the encoder's table at that time.
    generation: u64,
    block: Vec<u8>,
}

impl EncodeCache {
    /// The cached block of this tag, on a hit.
    pub fn recall(&self, tag: Tag, generation: u64) -> Option<&[u8]> {
        let slot = self.slots.get(tag.slot(SLOTS))?;
        let same = slot.tag == Some(tag) && slot.generation == generation;
        (same && !slot.block.is_empty()).then_some(&slot.block)
    }

    /// Records that the list with this tag was encoded as `block`, which left the table unchanged.
    /// It is cached when it comes twice in a row.
    pub fn note(&mut self, tag: Tag, generation: u64, block: &[u8]) {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
        }
        let Some(slot) = self.slots.get_mut(tag.slot(SLOTS)) else { return };
        let again = slot.tag.replace(tag) == Some(tag);
        slot.block.clear();
        if again && block.len() <= MAX_BLOCK {
            slot.generation = generation;
            slot.block.extend_from_slice(block);
        }
    }

    /// Empties the cache and frees its memory.
    pub fn clear(&mut self) {
        self.slots = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_known_from_its_third_time_on_while_the_table_stays() {
        let (tag, other) = (Tag::unique().unwrap(), Tag::unique().unwrap());
        let mut cache = EncodeCache::default();
        for _ in 0..2 {
            assert_eq!(cache.recall(tag, 1), None);
            cache.note(tag, 1, b"block");
        }
        assert_eq!(cache.recall(tag, 1), Some(&b"block"[..]));
        assert_eq!(cache.recall(tag, 2), None);
        assert_eq!(cache.recall(tag.variant(1), 1), None);
        assert_eq!(cache.recall(other, 1), None);
        cache.note(tag.variant(1), 1, b"another");
        assert_eq!(cache.recall(tag, 1), None, "they share a slot");
        cache.note(tag, 1, b"block");
        cache.note(tag, 1, &[0; MAX_BLOCK + 1]);
        assert_eq!(cache.recall(tag, 1), None, "too long");
    }
}
