//! Requests whose heads are still in the output: as long as nothing of one has begun to leave, it
//! can be taken back, and the peer never hears of it.

/// Where heads lie in the output, in the order of their streams.
#[derive(Debug, Default)]
pub struct Unsent(Vec<Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    stream: u32,
    /// Bytes that leave the connection, all its life counted, before the head and with it.
    from: u64,
    to: u64,
    /// Later blocks can be read without this stream's: they added nothing to the table.
    inert: bool,
}

impl Unsent {
    /// Notes the head of a new stream; `gone` bytes have left.
    pub fn push(&mut self, stream: u32, from: u64, to: u64, inert: bool, gone: u64) {
        if self.0.last().is_some_and(|last| last.to <= gone) {
            self.0.clear();
        } else if self.0.len() == self.0.capacity() {
            self.0.retain(|entry| entry.to > gone);
        }
        self.0.push(Entry { stream, from, to, inert });
    }

    /// Whether the head of `stream` is still here, or the end of it.
    pub fn holds(&self, stream: u32, gone: u64) -> bool {
        self.find(stream).is_some_and(|entry| entry.to > gone)
    }

    /// The stream has sent a block that later ones build upon.
    pub fn pin(&mut self, stream: u32) {
        if let Ok(at) = self.search(stream)
            && let Some(entry) = self.0.get_mut(at)
        {
            entry.inert = false;
        }
    }

    /// Where the head of `stream` begins, if it can be taken back.
    pub fn removable(&self, stream: u32, gone: u64) -> Option<u64> {
        self.find(stream).filter(|entry| entry.inert && entry.from >= gone).map(|entry| entry.from)
    }

    /// The frames of `stream` were taken out; heads behind them have come forward.
    pub fn remove(&mut self, stream: u32) {
        if let Ok(at) = self.search(stream) {
            self.0.remove(at);
        }
    }

    /// The head of `stream` has come forward.
    pub fn shift(&mut self, stream: u32, by: u64) {
        if let Ok(at) = self.search(stream)
            && let Some(entry) = self.0.get_mut(at)
        {
            (entry.from, entry.to) = (entry.from - by, entry.to - by);
        }
    }

    /// Gives the memory back.
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
