//! Header blocks that wait for their next use.

use std::rc::Rc;

use super::Headers;
use super::arena::Arena;
use crate::http::outgoing::Tag;

/// Cleared blocks, kept so that the next ones need no memory of their own.
#[derive(Debug, Default)]
pub struct HeaderPool {
    free: Vec<Rc<Arena>>,
    /// The capacity of all of them.
    bytes: usize,
    /// Blocks that have a tag, so that equal ones of other connections get the same.
    tagged: Vec<Headers>,
    /// Where the next one goes: to the end or, once there are enough, to the oldest.
    next: usize,
}

impl HeaderPool {
    const LARGEST: usize = 4 << 10;
    const MOST_BYTES: usize = 1 << 20;
    const MOST_TAGGED: usize = 64;

    /// An empty block.
    pub fn take(&mut self) -> Headers {
        let arena = self.free.pop();
        self.bytes -= arena.as_ref().map_or(0, |arena| arena.capacity());
        Headers(arena)
    }

    /// Takes a block back. Its memory is kept unless it is shared, or large, or there is enough.
    pub fn put(&mut self, mut headers: Headers) {
        headers.clear();
        let Some(arena) = headers.0 else { return };
        let capacity = arena.capacity();
        let room = Self::LARGEST.min(Self::MOST_BYTES - self.bytes);
        if (1..=room).contains(&capacity) {
            self.bytes += capacity;
            self.free.push(arena);
        }
    }

    /// Gives a block that is about to be changed fields of its own.
    pub fn unshare(&mut self, headers: &mut Headers) {
        let Headers(Some(arena)) = headers else { return };
        if Rc::get_mut(arena).is_none() {
            let mut own = self.take();
            own.arena_mut().copy_from(arena);
            *headers = own;
        }
    }

    /// Gives a block that comes again and again a tag: that of an equal one, if there is one.
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
        self.next = (self.next + 1) % Self::MOST_TAGGED;
    }
}

/// Whether both are the same to whoever encodes them.
fn is_twin(one: &Headers, other: &Headers) -> bool {
    let (one, other) = (one.arena(), other.arena());
    one.bytes == other.bytes && one.ranges == other.ranges
}
