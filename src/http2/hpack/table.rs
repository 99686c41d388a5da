//! The dynamic table (RFC 7541, section 2.3.2): a ring buffer of bytes and one of records.
//!
//! Entries are numbered in order of insertion. They are inserted at the head of both rings and
//! evicted by moving the tail, so neither allocates once it has grown.

use crate::http::{Field, Name};

/// Size overhead of an entry (RFC 7541, section 4.1).
pub(super) const ENTRY_OVERHEAD: usize = 32;

/// An entry: name and value, concatenated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) id: Name,
    pub(super) joined: &'a [u8],
    pub(super) name_len: usize,
}

impl<'a> Entry<'a> {
    /// Whether the names are equal; known ids need no comparison.
    pub(super) fn has_name_of(&self, field: &Field<'_>) -> bool {
        self.id == field.id && (self.id != Name::Other || self.name() == field.name)
    }

    pub(super) fn name(&self) -> &'a [u8] {
        self.joined.get(..self.name_len).unwrap_or_default()
    }

    pub(super) fn value(&self) -> &'a [u8] {
        self.joined.get(self.name_len..).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct Record {
    start: u32,
    len: u32,
    name_len: u32,
    id: Name,
}

#[derive(Debug)]
pub(super) struct Table {
    /// Twice the limit at most: with that much room an entry never wraps, since one that does not
    /// fit at the end fits at the start.
    bytes: Vec<u8>,
    /// Write position.
    head: usize,
    /// Capacity is a power of two; entry `n` is at `n` modulo that.
    records: Vec<Record>,
    /// The number of the next entry; it wraps around.
    next: u32,
    /// Changes whenever indices change their meaning.
    generation: u64,
    /// The number of entries.
    live: u32,
    /// Current size, as RFC 7541, section 4.1, counts it.
    size: usize,
    /// The current maximum size.
    max_size: usize,
    /// The highest maximum size so far.
    limit: usize,
}

impl Table {
    pub(super) fn new(max_size: u32, limit: u32) -> Table {
        Table {
            bytes: Vec::new(),
            head: 0,
            records: Vec::new(),
            next: 0,
            generation: 0,
            live: 0,
            size: 0,
            max_size: max_size.min(limit) as usize,
            limit: limit as usize,
        }
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// Sets the maximum size, capped at the limit, and evicts to fit.
    pub(super) fn resize(&mut self, max_size: u32) {
        self.generation += 1;
        self.max_size = self.limit.min(max_size as usize);
        self.evict_down_to(self.max_size);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The number of the newest entry.
    pub(super) fn newest(&self) -> u32 {
        self.next.wrapping_sub(1)
    }

    /// How many entries are newer; `None` if it was evicted.
    pub(super) fn age(&self, number: u32) -> Option<u32> {
        let age = self.newest().wrapping_sub(number);
        (age < self.live).then_some(age)
    }

    /// The entry of this age; 0 is the newest.
    pub(super) fn get(&self, age: u32) -> Option<Entry<'_>> {
        if age >= self.live {
            return None;
        }
        let record = self.records.get(self.slot(self.newest().wrapping_sub(age)))?;
        let start = record.start as usize;
        Some(Entry {
            id: record.id,
            joined: self.bytes.get(start..start + record.len as usize)?,
            name_len: record.name_len as usize,
        })
    }

    /// Inserts an entry, evicting the oldest to make room. One larger than the whole table empties
    /// it and is not inserted (RFC 7541, section 4.4).
    pub(super) fn insert(&mut self, id: Name, name: &[u8], value: &[u8]) {
        self.generation += 1;
        let len = name.len() + value.len();
        let size = len + ENTRY_OVERHEAD;
        self.evict_down_to(self.max_size.saturating_sub(size));
        if size > self.max_size {
            return;
        }
        let start = self.allocate(len);
        if let Some(place) = self.bytes.get_mut(start..start + len) {
            let (name_place, value_place) = place.split_at_mut(name.len());
            name_place.copy_from_slice(name);
            value_place.copy_from_slice(value);
        }
        self.record(Record {
            start: start as u32,
            len: len as u32,
            name_len: name.len() as u32,
            id,
        });
        self.size += size;
    }

    /// Allocates `len` bytes of the ring.
    fn allocate(&mut self, len: usize) -> usize {
        if self.head + len > 2 * self.limit {
            self.head = 0;
        }
        let start = self.head;
        self.head += len;
        if self.bytes.len() < self.head {
            self.bytes.resize(self.head, 0);
        }
        start
    }

    fn record(&mut self, record: Record) {
        let slot = self.slot(self.next);
        match self.records.get_mut(slot) {
            Some(place) => *place = record,
            None => self.records.push(record),
        }
        self.next = self.next.wrapping_add(1);
        self.live += 1;
    }

    fn slot(&self, number: u32) -> usize {
        number as usize & ((self.limit / ENTRY_OVERHEAD).next_power_of_two() - 1)
    }

    fn evict_down_to(&mut self, size: usize) {
        while self.size > size {
            let oldest = self.live.wrapping_sub(1);
            let Some(entry) = self.get(oldest) else {
                return;
            };
            self.size -= entry.joined.len() + ENTRY_OVERHEAD;
            self.live = oldest;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// An insertion with these lengths, or a new maximum size.
    #[derive(Clone, Debug)]
    enum Step {
        Insert(usize, usize),
        Resize(u32),
    }

    /// Long entries fill the ring of bytes, short ones that of records.
    fn step() -> impl Strategy<Value = Step> {
        let insert =
            |longest: usize| (0..longest, 0..longest).prop_map(|(n, v)| Step::Insert(n, v));
        prop_oneof![10 => insert(250), 10 => insert(3), 1 => (0u32..600).prop_map(Step::Resize)]
    }

    proptest! {
        #[test]
        fn holds_what_the_rfc_says(steps in prop::collection::vec(step(), 0..200), limit in 0u32..500) {
            let mut table = Table::new(limit, limit);
            let mut model = VecDeque::new();
            for (nth, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(name_len, value_len) => {
                        let (name, value) = (vec![nth as u8; name_len], vec![!nth as u8; value_len]);
                        table.insert(Name::Other, &name, &value);
                        model.push_front((name, value));
                    }
                    Step::Resize(max_size) => table.resize(max_size),
                }
                let size = |model: &VecDeque<(Vec<u8>, Vec<u8>)>| {
                    model.iter().map(|(n, v)| n.len() + v.len() + 32).sum::<usize>()
                };
                while size(&model) > table.max_size() {
                    model.pop_back();
                }
                for (age, (name, value)) in model.iter().enumerate() {
                    let entry = table.get(age as u32).unwrap();
                    prop_assert_eq!(entry.name(), name);
                    prop_assert_eq!(entry.value(), value);
                }
                prop_assert!(table.get(model.len() as u32).is_none());
                prop_assert!(table.bytes.len() <= 2 * limit as usize);
                prop_assert!(table.records.len() <= limit as usize / 16 + 1);
            }
        }
    }
}
