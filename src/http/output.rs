//! The bytes that wait to be written to the peer.

/// A buffer of so many bytes is not doubled any more, but made as large as bodies fill it.
const LARGE: usize = 16 << 10;
const FULL: usize = 52 << 10;

/// Bytes that may wait for the socket before bodies wait for room here.
const HIGH_WATER: usize = 68 << 10;

/// Bytes on their way to the peer.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes that have left, ever.
    gone: u64,
}

impl Output {
    /// What is to be written next.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Notes that `n` bytes were written.
    pub fn advance(&mut self, n: usize) {
        let n = n.min(self.len());
        self.written += n;
        self.gone += n as u64;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        } else if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    /// Bytes that have left, ever.
    pub fn gone(&self) -> u64 {
        self.gone
    }

    /// Bytes that will have left when all that is here has.
    pub fn end(&self) -> u64 {
        self.gone + self.len() as u64
    }

    /// How much of bodies may be put here; nothing behind what a peer who is held up has to take.
    pub(crate) fn room(&self, held_up: bool) -> usize {
        if held_up && !self.is_empty() { 0 } else { HIGH_WATER.saturating_sub(self.len()) }
    }

    /// Gives the memory of an empty buffer back.
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

    /// The memory that it is in, to append to it or to change what has not begun to leave.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Where in [`buffer`](Output::buffer) the byte is before which `position` bytes leave, ever.
    pub(crate) fn index_of(&self, position: u64) -> usize {
        let ahead = usize::try_from(position.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        self.written.saturating_add(ahead)
    }

    /// Makes room for a piece of a body. Of bodies so little is put here that doubling would waste
    /// half of the memory, once for each reader who is slow.
    pub(crate) fn make_room(&mut self, bytes: usize) {
        if self.bytes.len() >= LARGE {
            self.bytes.reserve_exact(bytes.max(FULL.saturating_sub(self.bytes.len())));
        }
    }
}
