//! Header blocks that wait for their next use.

use super::Headers;
use crate::http2::outgoing::Tag;

/// Cleared blocks, kept so that the next ones need no memory of their own.
#[derive(Debug, Default)]
pub struct HeaderPool {
    free: Vec<Headers>,
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
        let headers = self.free.pop().unwrap_or_default();
        self.bytes -= headers.capacity();
        headers
    }

    /// Takes a block back; its memory is kept unless it has none, is large, or there is enough.
    pub fn put(&mut self, mut headers: Headers) {
        let capacity = headers.capacity();
        let room = Self::LARGEST.min(Self::MOST_BYTES - self.bytes);
        if (1..=room).contains(&capacity) {
            headers.clear();
            self.bytes += capacity;
            self.free.push(headers);
        }
    }

    /// Gives a block that comes again and again a tag: that of an equal one, if there is one.
    pub(in crate::http2) fn tag(&mut self, headers: &mut Headers) {
        if let Some(equal) = self.tagged.iter().find(|tagged| tagged.is_twin(headers)) {
            headers.tag = equal.tag;
            return;
        }
        headers.tag = Tag::unique();
        match self.tagged.get_mut(self.next) {
            Some(oldest) => *oldest = headers.clone(),
            _ => self.tagged.push(headers.clone()),
        }
        self.next = (self.next + 1) % Self::MOST_TAGGED;
    }
}
