//! A pool of byte buffers.

/// Free list of empty buffers, so that buffering a body needs no allocation.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: Vec<Vec<u8>>,
    /// Total capacity of the pooled buffers.
    bytes: usize,
}

impl BufferPool {
    /// Largest capacity that is pooled: bodies grow by doubling, and a grown buffer is worth
    /// keeping.
    const MAX_CAPACITY: usize = 256 << 10;
    const MAX_BYTES: usize = 2 << 20;

    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        let buffer = self.free.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    /// Returns a buffer to the pool; it is freed if it is large or the pool is full.
    pub fn put(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let room = Self::MAX_CAPACITY.min(Self::MAX_BYTES - self.bytes);
        if (1..=room).contains(&capacity) {
            buffer.clear();
            self.bytes += capacity;
            self.free.push(buffer);
        }
    }
}
