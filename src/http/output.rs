//! The output buffer of a connection.

/// Buffers beyond this size grow to fit instead of doubling.
const LARGE: usize = 16 << 10;
const FULL: usize = 52 << 10;

/// High-water mark: with more bytes in the buffer, DATA stays queued on its streams.
const HIGH_WATER: usize = 68 << 10;

/// Bytes to be written to the peer.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes written in the connection's lifetime.
    total_written: u64,
}

impl Output {
    /// The bytes to write next.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in the buffer.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Removes `n` written bytes.
    pub fn advance(&mut self, n: usize) {
        let n = n.min(self.len());
        self.written += n;
        self.total_written += n as u64;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        } else if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    /// Bytes written in the connection's lifetime.
    pub fn total_written(&self) -> u64 {
        self.total_written
    }

    /// Position of the end of the buffer, counted in bytes over the connection's lifetime.
    pub fn end(&self) -> u64 {
        self.total_written + self.len() as u64
    }

    /// Room for DATA; none behind pending output while the socket is full.
    pub(crate) fn room(&self, held_up: bool) -> usize {
        if held_up && !self.is_empty() { 0 } else { HIGH_WATER.saturating_sub(self.len()) }
    }

    /// Frees an empty buffer.
    pub fn shrink(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Appends raw bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends what `write` writes.
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
    }

    /// The underlying vector, for appending or for changing bytes that have not begun to leave.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The index in [`buffer`](Output::buffer) of a lifetime position.
    pub(crate) fn index_of(&self, position: u64) -> usize {
        let ahead =
            usize::try_from(position.saturating_sub(self.total_written)).unwrap_or(usize::MAX);
        self.written.saturating_add(ahead)
    }

    /// Reserves space for DATA exactly: doubling would waste half the memory for each slow reader.
    pub(crate) fn make_room(&mut self, bytes: usize) {
        if self.bytes.len() >= LARGE {
            self.bytes.reserve_exact(bytes.max(FULL.saturating_sub(self.bytes.len())));
        }
    }
}
