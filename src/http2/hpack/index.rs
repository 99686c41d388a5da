//! Hash index of the encoder's dynamic table.
//!
//! A set-associative cache rather than a map: eviction removes nothing, stale slots are
//! overwritten. Losing a live entry to a full bucket costs a literal, never correctness.

use super::table::Table;

const BUCKETS: usize = 64;

/// Entry numbers by hash.
#[derive(Debug)]
pub(super) struct Index {
    buckets: Box<[[Slot; 4]; BUCKETS]>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    number: u32,
}

impl Slot {
    /// An empty slot.
    const EMPTY: Slot = Slot { tag: 0, number: u32::MAX };
}

impl Index {
    pub(super) fn new() -> Index {
        Index { buckets: Box::new([[Slot::EMPTY; 4]; BUCKETS]) }
    }

    /// The age of the entry with this hash that `is_it` accepts. Empty and stale slots may be
    /// offered too, so `is_it` has to verify the entry.
    pub(super) fn find(
        &self,
        hash: u64,
        table: &Table,
        mut is_it: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        self.buckets[bucket_of(hash)]
            .iter()
            .filter(|slot| slot.tag == tag_of(hash))
            .filter_map(|slot| table.age(slot.number))
            .find(|&age| is_it(age))
    }

    /// Indexes the newest entry, replacing the oldest or a stale one.
    pub(super) fn insert(&mut self, hash: u64, table: &Table) {
        let bucket = &mut self.buckets[bucket_of(hash)];
        let victim =
            bucket.iter_mut().max_by_key(|slot| table.age(slot.number).unwrap_or(u32::MAX));
        if let Some(slot) = victim {
            *slot = Slot { tag: tag_of(hash), number: table.newest() };
        }
    }
}

fn bucket_of(hash: u64) -> usize {
    hash as usize % BUCKETS
}

fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}
