//! Header lists sent before, and the blocks that they became.
//!
//! A list that was recalled from the [memo](super::memo) of the connection that it came by has a
//! tag. While the encoder's table is as it was, equal tags mean an equal block: it is copied.

use crate::http::Tag;

/// Blocks that are remembered for one connection.
const SLOTS: usize = 32;

/// Longer blocks are not remembered.
const LONGEST: usize = 1 << 10;

/// The blocks of one connection.
#[derive(Debug, Default)]
pub struct Sent {
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Of the list that came last here.
    tag: Option<Tag>,
    /// Of the encoder's table when the block was made.
    generation: u64,
    block: Vec<u8>,
}

impl Sent {
    /// The block of the list with this tag, if it is known.
    pub fn recall(&self, tag: Tag, generation: u64) -> Option<&[u8]> {
        let slot = self.slots.get(tag.slot(SLOTS))?;
        let same = slot.tag == Some(tag) && slot.generation == generation;
        (same && !slot.block.is_empty()).then_some(&slot.block)
    }

    /// Notes that the list with this tag became `block`, which left the table as it was. It is
    /// remembered when the list comes for the second time in a row.
    pub fn note(&mut self, tag: Tag, generation: u64, block: &[u8]) {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
        }
        let Some(slot) = self.slots.get_mut(tag.slot(SLOTS)) else { return };
        let again = slot.tag.replace(tag) == Some(tag);
        slot.block.clear();
        if again && block.len() <= LONGEST {
            slot.generation = generation;
            slot.block.extend_from_slice(block);
        }
    }

    /// Forgets everything and gives the memory back.
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
        let mut sent = Sent::default();
        for _ in 0..2 {
            assert_eq!(sent.recall(tag, 1), None);
            sent.note(tag, 1, b"block");
        }
        assert_eq!(sent.recall(tag, 1), Some(&b"block"[..]));
        assert_eq!(sent.recall(tag, 2), None);
        assert_eq!(sent.recall(tag.variant(1), 1), None);
        assert_eq!(sent.recall(other, 1), None);
        sent.note(tag.variant(1), 1, b"another");
        assert_eq!(sent.recall(tag, 1), None, "they share a slot");
        sent.note(tag, 1, b"block");
        sent.note(tag, 1, &[0; LONGEST + 1]);
        assert_eq!(sent.recall(tag, 1), None, "too long");
    }
}
