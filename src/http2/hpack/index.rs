//! Finds entries of the encoder's table by hash.
//!
//! A cache of a few slots a bucket rather than a map: nothing is removed when an entry is
//! evicted, a slot of a dead entry is simply taken by the next. Losing a live entry to a full
//! bucket costs a literal, never correctness.

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
    /// Of the entry before the first, which is dead.
    const EMPTY: Slot = Slot { tag: 0, number: u32::MAX };
}

impl Index {
    pub(super) fn new() -> Index {
        Index { buckets: Box::new([[Slot::EMPTY; 4]; BUCKETS]) }
    }

    /// The age of the entry with this hash that `is_it` accepts. Empty and dead slots may be
    /// offered too, so `is_it` has to look at the entry itself.
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

    /// Remembers the newest entry of the table in place of the oldest or a dead one.
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
