//! The open streams of a connection, by slot and by id.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use slab::Slab;

use super::stream::{Key, Stream};

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

/// The open streams.
#[derive(Default)]
pub struct Streams {
    slab: Slab<Stream>,
    by_id: HashMap<u32, u32, BuildHasherDefault<IdHasher>>,
    /// The one looked for last: frames of a stream come in rows.
    last: Cell<Option<Key>>,
}

impl Streams {
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    pub fn insert(&mut self, stream: Stream) -> Key {
        let id = stream.id;
        let slot = self.slab.insert(stream) as u32; // fewer than 2^31 ids exist
        self.by_id.insert(id, slot);
        Key { slot, id }
    }

    pub fn remove(&mut self, key: Key) -> Option<Stream> {
        self.get(key)?;
        self.last.set(None);
        self.by_id.remove(&key.id);
        self.slab.try_remove(key.slot())
    }

    pub fn key(&self, id: u32) -> Option<Key> {
        if let Some(last) = self.last.get().filter(|last| last.id == id) {
            return Some(last);
        }
        let key = self.by_id.get(&id).map(|&slot| Key { slot, id })?;
        self.last.set(Some(key));
        Some(key)
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

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(key, _)| key.id)).finish()
    }
}
