//! Header blocks that wait for their next use.

use super::Headers;

/// Cleared blocks, kept so that the next ones need no memory of their own.
#[derive(Debug, Default)]
pub struct HeaderPool {
    free: Vec<Headers>,
}

impl HeaderPool {
    const MOST: usize = 256;
    const LARGEST: usize = 4 << 10;

    /// An empty block.
    pub fn take(&mut self) -> Headers {
        self.free.pop().unwrap_or_default()
    }

    /// Takes a block back; its memory is kept unless it is large or there is enough.
    pub fn put(&mut self, mut headers: Headers) {
        if self.free.len() < Self::MOST && headers.bytes.capacity() <= Self::LARGEST {
            headers.clear();
            self.free.push(headers);
        }
    }
}
