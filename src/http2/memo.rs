//! Header blocks seen before, and what they say.
//!
//! A peer that sends the same list again sends, once its table has settled, the same bytes. While
//! the table is as it was, equal bytes mean an equal list: it is neither decoded nor checked
//! again. Blocks that come once cost one hash.

use super::hpack;
use crate::http::{HeaderPool, Headers, message::Facts};

/// Blocks that are remembered for one connection.
const SLOTS: usize = 8;

/// Longer blocks are not remembered.
const LONGEST: usize = 512;

/// Larger lists are not remembered: a short block may stand for a long list.
const LARGEST: usize = 4 << 10;

/// What a block is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
    Trailers,
}

/// The blocks of one connection.
#[derive(Debug, Default)]
pub struct Memo {
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Of the block that came last here.
    hash: u64,
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    block: Vec<u8>,
    kind: Kind,
    /// Of the decoder's table when the block came.
    generation: u64,
    headers: Headers,
    facts: Facts,
}

impl Memo {
    /// What `block` says, if that is known.
    pub fn recall(&self, kind: Kind, block: &[u8], generation: u64) -> Option<(&Headers, Facts)> {
        let slot = self.slots.get(index(block_hash(block)))?;
        let known = slot.known.as_ref()?;
        let same = known.generation == generation && known.kind == kind && known.block == block;
        same.then_some((&known.headers, known.facts))
    }

    /// Notes that `block`, which left the table as it was, says `headers`. It is remembered when
    /// it comes for the second time in a row.
    pub fn note(
        &mut self,
        kind: Kind,
        block: &[u8],
        generation: u64,
        headers: &Headers,
        facts: Facts,
        pool: &mut HeaderPool,
    ) {
        if block.len() > LONGEST || headers.list_size() > LARGEST {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
        }
        let hash = block_hash(block);
        let Some(slot) = self.slots.get_mut(index(hash)) else { return };
        if slot.hash == hash {
            let (block, mut headers) = (block.to_vec(), headers.clone());
            pool.tag(&mut headers);
            slot.known = Some(Known { block, kind, generation, headers, facts });
        }
        slot.hash = hash;
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        self.slots = Vec::new();
    }
}

fn block_hash(block: &[u8]) -> u64 {
    hpack::hash(0, block.get(..LONGEST).unwrap_or(block))
}

fn index(hash: u64) -> usize {
    (hash % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Name;

    #[test]
    fn a_block_is_known_from_its_third_time_on_while_the_table_stays() {
        let mut headers = Headers::new();
        headers.add(Name::Path, b"/a.B/C");
        let facts = Facts { content_length: Some(3), ..Facts::default() };
        let mut memo = Memo::default();
        for _ in 0..2 {
            assert_eq!(memo.recall(Kind::Request, b"block", 1), None);
            memo.note(Kind::Request, b"block", 1, &headers, facts, &mut HeaderPool::default());
        }
        assert_eq!(memo.recall(Kind::Request, b"block", 1), Some((&headers, facts)));
        assert_eq!(memo.recall(Kind::Request, b"block", 2), None);
        assert_eq!(memo.recall(Kind::Trailers, b"block", 1), None);
        assert_eq!(memo.recall(Kind::Request, b"other", 1), None);
        memo.clear();
        assert_eq!(memo.recall(Kind::Request, b"block", 1), None);
    }
}
