//! Byte buffers that are used again.

/// Empty buffers, kept so that the next bodies need no memory of their own.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: Vec<Vec<u8>>,
}

impl BufferPool {
    const MOST: usize = 256;
    const LARGEST: usize = 16 << 10;

    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_default()
    }

    /// Takes a buffer back; its memory is kept unless it is large or there is enough.
    pub fn put(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if self.free.len() < Self::MOST && capacity > 0 && capacity <= Self::LARGEST {
            buffer.clear();
            self.free.push(buffer);
        }
    }
}
