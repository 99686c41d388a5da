//! A pool of header lists.

use std::rc::Rc;

use super::Headers;
use super::arena::Arena;
use crate::http::outgoing::Tag;

/// Free list of cleared header lists, so that new ones need no allocation; and the tags of
/// recurring lists.
#[derive(Debug, Default)]
pub struct HeaderPool {
    free: Vec<Rc<Arena>>,
    /// Total capacity of the pooled lists.
    bytes: usize,
    /// Tagged lists, so that equal ones of other connections get the same tag.
    tagged: Vec<Headers>,
    /// Ring position in `tagged`: the next to be replaced once it is full.
    next: usize,
}

impl HeaderPool {
    const MAX_CAPACITY: usize = 4 << 10;
    const MAX_BYTES: usize = 1 << 20;
    const MAX_TAGGED: usize = 64;

    /// An empty list.
    pub fn take(&mut self) -> Headers {
        let arena = self.free.pop();
        self.bytes -= arena.as_ref().map_or(0, |arena| arena.capacity());
        Headers(arena)
    }

    /// Returns a list to the pool. It is freed if it is shared or large, or the pool is full.
    pub fn put(&mut self, mut headers: Headers) {
        headers.clear();
        let Some(arena) = headers.0 else { return };
        let capacity = arena.capacity();
        let room = Self::MAX_CAPACITY.min(Self::MAX_BYTES - self.bytes);
        if (1..=room).contains(&capacity) {
            self.bytes += capacity;
            self.free.push(arena);
        }
    }

    /// Copy on write: makes a shared list owned before it is changed.
    pub fn unshare(&mut self, headers: &mut Headers) {
        let Headers(Some(arena)) = headers else { return };
        if Rc::get_mut(arena).is_none() {
            let mut own = self.take();
            own.arena_mut().copy_from(arena);
            *headers = own;
        }
    }

    /// Tags a recurring list, with the tag of an equal one if there is one.
    pub(crate) fn tag(&mut self, headers: &mut Headers) {
        if let Some(equal) = self.tagged.iter().find(|tagged| is_twin(tagged, headers)) {
            *headers = equal.clone();
            return;
        }
        headers.arena_mut().tag = Tag::unique();
        match self.tagged.get_mut(self.next) {
            Some(oldest) => *oldest = headers.clone(),
            _ => self.tagged.push(headers.clone()),
        }
        self.next = (self.next + 1) % Self::MAX_TAGGED;
    }
}

/// Whether both encode equally.
fn is_twin(one: &Headers, other: &Headers) -> bool {
    let (one, other) = (one.arena(), other.arena());
    one.bytes == other.bytes && one.ranges == other.ranges
}
