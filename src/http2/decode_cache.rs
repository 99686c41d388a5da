//! Decode cache: header blocks seen before and the lists they decode to.
//!
//! Once the dynamic table has settled, a peer encodes the same list to the same bytes. While the
//! table is unchanged, equal bytes are an equal list, which is neither decoded nor validated again.
//! A block seen once costs one hash.

use super::hpack;
use crate::http::{HeaderPool, Headers, message::HeadInfo};

/// Cached blocks per connection.
const SLOTS: usize = 8;

/// Longer blocks are not cached.
const MAX_BLOCK: usize = 512;

/// Larger lists are not cached: a short block may expand to a long list.
const MAX_LIST_SIZE: usize = 4 << 10;

/// What a block is validated as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
    Trailers,
}

/// The decode cache of one connection, direct mapped.
#[derive(Debug, Default)]
pub struct DecodeCache {
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Hash of the last block of this slot.
    hash: u64,
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    block: Vec<u8>,
    kind: Kind,
    /// Generation of the decoder's table at that time.
    generation: u64,
    headers: Headers,
    info: HeadInfo,
}

impl DecodeCache {
    /// The cached list of `block`, on a hit.
    pub fn recall(
        &self,
        kind: Kind,
        block: &[u8],
        generation: u64,
    ) -> Option<(&Headers, HeadInfo)> {
        let slot = self.slots.get(index(block_hash(block)))?;
        let known = slot.known.as_ref()?;
        let same = known.generation == generation && known.kind == kind && known.block == block;
        same.then_some((&known.headers, known.info))
    }

    /// Records that `block`, which left the table unchanged, decodes to `headers`. It is cached
    /// when it comes twice in a row.
    pub fn note(
        &mut self,
        kind: Kind,
        block: &[u8],
        generation: u64,
        headers: &Headers,
        info: HeadInfo,
        pool: &mut HeaderPool,
    ) {
        if block.len() > MAX_BLOCK || headers.list_size() > MAX_LIST_SIZE {
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
            slot.known = Some(Known { block, kind, generation, headers, info });
        }
        slot.hash = hash;
    }

    /// Empties the cache and frees its memory.
    pub fn clear(&mut self) {
        self.slots = Vec::new();
    }
}

fn block_hash(block: &[u8]) -> u64 {
    hpack::hash(0, block.get(..MAX_BLOCK).unwrap_or(block))
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
        let info = HeadInfo { content_length: Some(3), ..HeadInfo::default() };
        let mut cache = DecodeCache::default();
        for _ in 0..2 {
            assert_eq!(cache.recall(Kind::Request, b"block", 1), None);
            cache.note(Kind::Request, b"block", 1, &headers, info, &mut HeaderPool::default());
        }
        assert_eq!(cache.recall(Kind::Request, b"block", 1), Some((&headers, info)));
        assert_eq!(cache.recall(Kind::Request, b"block", 2), None);
        assert_eq!(cache.recall(Kind::Trailers, b"block", 1), None);
        assert_eq!(cache.recall(Kind::Request, b"other", 1), None);
        cache.clear();
        assert_eq!(cache.recall(Kind::Request, b"block", 1), None);
    }
}
