//! Chunked queue of bytes to be sent.
//!
//! Many slow streams so take little more memory than they queue, and growing copies nothing.

use std::collections::VecDeque;

/// Chunk size.
const CHUNK_SIZE: usize = 4 << 10;

/// The queued bytes, in order.
#[derive(Debug, Default)]
pub struct SendQueue {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk already taken.
    gone: usize,
    len: usize,
}

impl SendQueue {
    /// Queued bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `bytes`.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            match self.pieces.back_mut() {
                Some(last) if last.len() < last.capacity() => {
                    let room = last.capacity() - last.len();
                    let (now, later) = bytes.split_at(room.min(bytes.len()));
                    last.extend_from_slice(now);
                    bytes = later;
                }
                // Sized to the message: a short one may be all.
                None => self.pieces.push_back(Vec::with_capacity(bytes.len().min(CHUNK_SIZE))),
                Some(_) => self.pieces.push_back(Vec::with_capacity(CHUNK_SIZE)),
            }
        }
    }

    /// Takes `n` bytes, or all, off the front, passing them to `each` chunk by chunk.
    pub fn take(&mut self, mut n: usize, mut each: impl FnMut(&[u8])) {
        while n > 0
            && let Some(first) = self.pieces.front()
        {
            let rest = first.get(self.gone..).unwrap_or_default();
            let (now, later) = rest.split_at(n.min(rest.len()));
            let over = later.is_empty();
            n -= now.len();
            self.len -= now.len();
            self.gone += now.len();
            each(now);
            if over {
                self.pieces.pop_front();
                self.gone = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn memory(queue: &SendQueue) -> usize {
        queue.pieces.iter().map(Vec::capacity).sum()
    }

    #[test]
    fn it_takes_little_more_memory_than_there_are_bytes() {
        let mut queue = SendQueue::default();
        queue.push(b"little");
        assert_eq!(memory(&queue), 6);
        for _ in 0..10 {
            queue.push(&[0; 10_000]);
        }
        assert!(memory(&queue) < queue.len() + 2 * CHUNK_SIZE);
        queue.take(100_000, |_| {});
        assert!(memory(&queue) <= 2 * CHUNK_SIZE);
        queue.take(usize::MAX, |_| {});
        assert_eq!((memory(&queue), queue.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn what_is_pushed_is_taken_in_order(script in vec((any::<bool>(), 0_usize..10_000), 0..40)) {
            let (mut queue, mut expected) = (SendQueue::default(), VecDeque::new());
            let mut next = 0_u8;
            for (push, n) in script {
                if push {
                    let bytes: Vec<u8> = (0..n).map(|_| { next = next.wrapping_add(1); next }).collect();
                    queue.push(&bytes);
                    expected.extend(bytes);
                } else {
                    let mut taken = Vec::new();
                    queue.take(n, |piece| taken.extend_from_slice(piece));
                    prop_assert!(taken.iter().copied().eq(expected.drain(..n.min(expected.len()))));
                }
                prop_assert_eq!(queue.len(), expected.len());
                prop_assert_eq!(queue.is_empty(), expected.is_empty());
            }
        }
    }
}
