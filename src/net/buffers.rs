//! Byte buffers that are used again.

/// Empty buffers, kept so that the next bodies need no memory of their own.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: Vec<Vec<u8>>,
    /// The capacity of all of them.
    bytes: usize,
}

impl BufferPool {
    /// One buffer at most: bodies grow by doubling, and what has grown is worth keeping.
    const LARGEST: usize = 256 << 10;
    const MOST_BYTES: usize = 2 << 20;

    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        let buffer = self.free.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    /// Takes a buffer back; its memory is kept unless it is large or there is enough.
    pub fn put(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let room = Self::LARGEST.min(Self::MOST_BYTES - self.bytes);
        if (1..=room).contains(&capacity) {
            buffer.clear();
            self.bytes += capacity;
            self.free.push(buffer);
        }
    }
}
