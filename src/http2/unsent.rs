//! Requests whose HEADERS are still in the output: until the first byte is written, a cancelled one
//! can be removed without the peer ever seeing it.

/// Positions of HEADERS in the output, in order of their streams.
#[derive(Debug, Default)]
pub struct Unsent(Vec<Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    stream: u32,
    /// Start and end of the HEADERS, in bytes sent over the connection's lifetime.
    from: u64,
    to: u64,
    /// The block inserted nothing into the HPACK table, so later blocks do not depend on it.
    inert: bool,
}

impl Unsent {
    /// Records the HEADERS of a new stream; `gone` bytes have been written so far.
    pub fn push(&mut self, stream: u32, from: u64, to: u64, inert: bool, gone: u64) {
        if self.0.last().is_some_and(|last| last.to <= gone) {
            self.0.clear();
        } else if self.0.len() == self.0.capacity() {
            self.0.retain(|entry| entry.to > gone);
        }
        self.0.push(Entry { stream, from, to, inert });
    }

    /// Whether the HEADERS of `stream` are still in the output, at least in part.
    pub fn holds(&self, stream: u32, gone: u64) -> bool {
        self.find(stream).is_some_and(|entry| entry.to > gone)
    }

    /// Records that the stream has sent a block that later ones depend on.
    pub fn pin(&mut self, stream: u32) {
        if let Ok(at) = self.search(stream)
            && let Some(entry) = self.0.get_mut(at)
        {
            entry.inert = false;
        }
    }

    /// Where the HEADERS of `stream` begin, if they can be removed.
    pub fn removable(&self, stream: u32, gone: u64) -> Option<u64> {
        self.find(stream).filter(|entry| entry.inert && entry.from >= gone).map(|entry| entry.from)
    }

    /// Records that the frames of `stream` were removed.
    pub fn remove(&mut self, stream: u32) {
        if let Ok(at) = self.search(stream) {
            self.0.remove(at);
        }
    }

    /// Records that the HEADERS of `stream` moved forward.
    pub fn shift(&mut self, stream: u32, by: u64) {
        if let Ok(at) = self.search(stream)
            && let Some(entry) = self.0.get_mut(at)
        {
            (entry.from, entry.to) = (entry.from - by, entry.to - by);
        }
    }

    /// Frees unused memory.
    pub fn shrink(&mut self, gone: u64) {
        self.0.retain(|entry| entry.to > gone);
        self.0.shrink_to_fit();
    }

    fn find(&self, stream: u32) -> Option<&Entry> {
        self.search(stream).ok().and_then(|at| self.0.get(at))
    }

    fn search(&self, stream: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&stream, |entry| entry.stream)
    }
}
