//! The table of open streams, by slot and by id.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use slab::Slab;

use super::stream::Stream;
use crate::http::Key;

/// Ids are small and sequential, and the peer cannot choose colliding ones that stay open: they
/// are bounded by the limit on streams. One multiplication spreads them.
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(byte.into());
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Direct-mapped slots for ids close to each other, as those of short streams are.
const NEAR: usize = 128;

/// No slot: fewer than 2^31 ids exist.
const VACANT: u32 = u32::MAX;

/// The open streams.
#[derive(Default)]
pub struct Streams {
    slab: Slab<Stream>,
    /// Slots by id modulo [`NEAR`], without one for each id's lowest bit.
    near: Vec<u32>,
    /// Slots of ids whose place was taken.
    far: HashMap<u32, u32, BuildHasherDefault<IdHasher>>,
}

impl Streams {
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    pub fn insert(&mut self, stream: Stream) -> Key {
        let id = stream.id;
        let slot = self.slab.insert(stream) as u32;
        if self.near.is_empty() {
            self.near.resize(NEAR, VACANT);
        }
        match self.near.get_mut(place(id)) {
            Some(place) if *place == VACANT => *place = slot,
            _ => drop(self.far.insert(id, slot)),
        }
        Key { slot, id }
    }

    pub fn remove(&mut self, key: Key) -> Option<Stream> {
        self.get(key)?;
        match self.near.get_mut(place(key.id)) {
            Some(place) if *place == key.slot => *place = VACANT,
            _ => drop(self.far.remove(&key.id)),
        }
        self.slab.try_remove(key.slot())
    }

    pub fn key(&self, id: u32) -> Option<Key> {
        self.slot(id).map(|slot| Key { slot, id })
    }

    pub fn find(&mut self, id: u32) -> Option<(Key, &mut Stream)> {
        let slot = self.slot(id)?;
        self.slab.get_mut(slot as usize).map(|stream| (Key { slot, id }, stream))
    }

    fn slot(&self, id: u32) -> Option<u32> {
        let holds = |slot: &u32| self.get(Key { slot: *slot, id }).is_some();
        let near = self.near.get(place(id)).copied();
        near.filter(holds).or_else(|| self.far.get(&id).copied())
    }

    pub fn get(&self, key: Key) -> Option<&Stream> {
        self.slab.get(key.slot()).filter(|stream| stream.id == key.id)
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut Stream> {
        self.slab.get_mut(key.slot()).filter(|stream| stream.id == key.id)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut Stream)> {
        self.slab
            .iter_mut()
            .map(|(slot, stream)| (Key { slot: slot as u32, id: stream.id }, stream))
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &Stream)> {
        self.slab.iter().map(|(slot, stream)| (Key { slot: slot as u32, id: stream.id }, stream))
    }
}

fn place(id: u32) -> usize {
    (id >> 1) as usize % NEAR
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(key, _)| key.id)).finish()
    }
}
