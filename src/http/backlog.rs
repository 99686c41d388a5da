//! Bytes that wait to be sent, in pieces of memory of one size.
//!
//! What is held for many slow streams so takes little more memory than there are bytes, and nothing is
//! copied again as more comes.

use std::collections::VecDeque;

/// The size of a piece.
const PIECE: usize = 4 << 10;

/// Bytes that wait, in order.
#[derive(Debug, Default)]
pub struct Backlog {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that have gone.
    gone: usize,
    len: usize,
}

impl Backlog {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Has `bytes` wait behind the others.
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
                // Of a short message nothing else may come.
                None => self.pieces.push_back(Vec::with_capacity(bytes.len().min(PIECE))),
                Some(_) => self.pieces.push_back(Vec::with_capacity(PIECE)),
            }
        }
    }

    /// Takes `n` bytes, or all that there are, off the front and gives them to `each`, piece by piece.
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

    fn memory(backlog: &Backlog) -> usize {
        backlog.pieces.iter().map(Vec::capacity).sum()
    }

    #[test]
    fn it_takes_little_more_memory_than_there_are_bytes() {
        let mut backlog = Backlog::default();
        backlog.push(b"little");
        assert_eq!(memory(&backlog), 6);
        for _ in 0..10 {
            backlog.push(&[0; 10_000]);
        }
        assert!(memory(&backlog) < backlog.len() + 2 * PIECE);
        backlog.take(100_000, |_| {});
        assert!(memory(&backlog) <= 2 * PIECE);
        backlog.take(usize::MAX, |_| {});
        assert_eq!((memory(&backlog), backlog.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn what_is_pushed_is_taken_in_order(script in vec((any::<bool>(), 0_usize..10_000), 0..40)) {
            let (mut backlog, mut expected) = (Backlog::default(), VecDeque::new());
            let mut next = 0_u8;
            for (push, n) in script {
                if push {
                    let bytes: Vec<u8> = (0..n).map(|_| { next = next.wrapping_add(1); next }).collect();
                    backlog.push(&bytes);
                    expected.extend(bytes);
                } else {
                    let mut taken = Vec::new();
                    backlog.take(n, |piece| taken.extend_from_slice(piece));
                    prop_assert!(taken.iter().copied().eq(expected.drain(..n.min(expected.len()))));
                }
                prop_assert_eq!(backlog.len(), expected.len());
                prop_assert_eq!(backlog.is_empty(), expected.is_empty());
            }
        }
    }
}
