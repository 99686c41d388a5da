//! Queue of informational (1xx) responses to be forwarded.

use std::collections::VecDeque;

use crate::http::Headers;

/// Queue length per stream. It is drained every turn of the worker, so only a backend that sends
/// nothing else exceeds it.
const MAX_QUEUED: usize = 100;

/// Total header list size in the queue. A single one may be as large as any head.
const MAX_QUEUED_BYTES: usize = 64 << 10;

/// FIFO of heads. One that does not fit is dropped: only the final response matters.
#[derive(Debug, Default)]
pub struct Informational {
    heads: VecDeque<Headers>,
    bytes: usize,
}

impl Informational {
    /// Queues a head, or returns it if the queue is full.
    pub fn push(&mut self, head: Headers) -> Result<(), Headers> {
        let bytes = self.bytes + head.list_size();
        let full = self.heads.len() >= MAX_QUEUED || bytes > MAX_QUEUED_BYTES;
        if full && !self.heads.is_empty() {
            return Err(head);
        }
        self.bytes = bytes;
        self.heads.push_back(head);
        Ok(())
    }

    /// Takes the next one.
    pub fn pop(&mut self) -> Option<Headers> {
        let head = self.heads.pop_front()?;
        self.bytes -= head.list_size();
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(value: &[u8]) -> Headers {
        let mut head = Headers::new();
        head.add_named(b"link", value);
        head
    }

    #[test]
    fn heads_keep_their_order() {
        let mut waiting = Informational::default();
        for number in 0..5u8 {
            assert!(waiting.push(head(&[number])).is_ok());
        }
        let popped =
            std::iter::from_fn(|| waiting.pop()).map(|head| head.iter().next().unwrap().value[0]);
        assert!(popped.eq(0..5));
        assert_eq!(waiting.bytes, 0);
    }

    #[test]
    fn they_are_bounded_in_number_and_size() {
        let mut waiting = Informational::default();
        let kept = (0..1000).filter(|_| waiting.push(head(b"x")).is_ok()).count();
        assert_eq!(kept, MAX_QUEUED);
        assert!(waiting.pop().is_some() && waiting.push(head(b"x")).is_ok());

        let mut waiting = Informational::default();
        let kept = (0..1000).filter(|_| waiting.push(head(&[b'x'; 8 << 10])).is_ok()).count();
        assert!((6..=8).contains(&kept), "{kept}");
        while waiting.pop().is_some() {}
        assert!(waiting.push(head(&[b'x'; 100 << 10])).is_ok(), "one alone always passes");
        assert!(waiting.push(head(b"x")).is_err());
    }
}
