//! The body that comes on a stream, on its way to whoever reads it.
//!
//! One reader sets the pace: what has left to it is given back to the sender as credit. Another one
//! may take its place and begin at the first byte ([`Body::rewind`]), as long as all of it was
//! kept. Copies are readers for which nobody waits.

use std::rc::Rc;

use super::stream::Stream;
use super::tee::Tee;

/// What has come, and who gets it.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// All bytes from the first one on while another reader may need them; else those that the
    /// reader has yet to get.
    kept: Vec<u8>,
    /// Bytes at the front of `kept` that the reader has got.
    passed: usize,
    /// The most bytes that are kept for another reader, if there may be one.
    replay: Option<usize>,
    /// Bytes that came and for which no credit was given back.
    held: usize,
    /// No more will come.
    pub ended: bool,
    /// Who gets it.
    pub reader: Option<Rc<Stream>>,
    /// Who gets a copy.
    pub copies: Vec<Rc<Tee>>,
    /// What comes is of no use.
    pub drained: bool,
}

impl Body {
    /// Bytes that are kept, whatever for.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// What the reader has yet to get.
    pub fn waiting(&self) -> &[u8] {
        self.kept.get(self.passed..).unwrap_or_default()
    }

    /// Whether it has memory, which most bodies that are passed on at once need not.
    pub fn has_buffer(&self) -> bool {
        self.kept.capacity() > 0
    }

    /// Gives it memory.
    pub fn give_buffer(&mut self, buffer: Vec<u8>) {
        self.kept = buffer;
    }

    /// Counts bytes that have come, and gives copies of them away.
    pub fn came(&mut self, payload: &[u8], end: bool) {
        self.held += payload.len();
        self.ended |= end;
        self.copies.iter().for_each(|copy| copy.feed(payload, end));
    }

    /// How much credit goes back for `bytes` that have left: never more than came.
    pub fn release(&mut self, bytes: usize) -> usize {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        bytes
    }

    /// Has `payload` wait for the reader.
    pub fn wait(&mut self, payload: &[u8]) {
        self.may_keep(payload.len()); // what the reader has got makes room
        self.kept.extend_from_slice(payload);
    }

    /// Sends the reader what waits. How much credit goes back.
    pub fn pass_waiting(&mut self) -> usize {
        let Some(reader) = self.reader.clone().filter(|_| !self.waiting().is_empty()) else {
            return 0;
        };
        let sent = reader.feed(self.waiting(), false);
        self.passed = self.kept.len();
        self.release(sent)
    }

    /// Sends the reader what has just come, behind what waits. How much credit goes back.
    pub fn pass(&mut self, payload: &[u8], end: bool) -> usize {
        let waited = self.pass_waiting();
        let Some(reader) = &self.reader else { return waited };
        let sent = reader.feed(payload, end);
        if self.may_keep(payload.len()) {
            self.kept.extend_from_slice(payload);
            self.passed = self.kept.len();
        }
        waited + self.release(sent)
    }

    /// The memory of what need not be kept any more, to be used again.
    pub fn take_passed(&mut self) -> Option<Vec<u8>> {
        if self.replay.is_some() || self.passed < self.kept.len() {
            return None;
        }
        self.passed = 0;
        Some(std::mem::take(&mut self.kept))
    }

    /// From now on it is `reader`'s, from the first byte that is kept. Up to `replay` bytes of it
    /// are kept for another. How many bytes have left.
    pub fn begin(&mut self, reader: &Rc<Stream>, replay: Option<usize>) -> usize {
        self.replay = replay.filter(|most| self.kept.len() <= *most);
        self.reader = Some(Rc::clone(reader));
        if self.kept.is_empty() && !self.ended {
            return 0;
        }
        self.passed = self.kept.len();
        reader.feed(&self.kept, self.ended)
    }

    /// Whether another reader could begin at the first byte.
    pub fn is_replayable(&self) -> bool {
        self.replay.is_some()
    }

    /// Becomes the body of another stream.
    pub fn renew(&mut self) {
        debug_assert!(!self.has_buffer() && self.reader.is_none() && self.copies.is_empty());
        (self.replay, self.held, self.ended, self.drained) = (None, 0, false, false);
    }

    /// Takes it from its reader, for another one.
    pub fn rewind(&mut self) {
        self.reader = None;
        self.passed = 0;
    }

    /// There will be no other reader.
    pub fn forget_replay(&mut self) {
        self.replay = None;
        self.kept.drain(..self.passed);
        self.passed = 0;
    }

    /// Drops what is kept. How many bytes those were that the reader had yet to get.
    pub fn clear(&mut self) -> usize {
        let waited = self.waiting().len();
        (self.replay, self.passed) = (None, self.kept.len());
        waited
    }

    /// Whether so many more bytes are kept for another reader. If they are too many, there can be
    /// none.
    fn may_keep(&mut self, more: usize) -> bool {
        let Some(most) = self.replay else { return false };
        let may = self.kept.len() + more <= most;
        if !may {
            self.forget_replay();
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(parts: &[&str]) -> Body {
        let mut body = Body::default();
        for part in parts {
            body.came(part.as_bytes(), false);
            body.wait(part.as_bytes());
        }
        body
    }

    /// As if a reader had begun, and all that waited had gone to it.
    fn begun(mut body: Body, replay: Option<usize>) -> Body {
        body.replay = replay.filter(|most| body.kept.len() <= *most);
        body.passed = body.kept.len();
        body
    }

    #[test]
    fn what_comes_before_a_reader_waits_for_it() {
        let mut body = waiting(&["ab", "c"]);
        assert_eq!((body.waiting(), body.kept()), (&b"abc"[..], 3));
        assert!(body.take_passed().is_none());
        assert_eq!(body.pass_waiting(), 0, "nobody takes it");
    }

    #[test]
    fn the_next_reader_begins_at_the_first_byte() {
        let mut body = begun(waiting(&["abc"]), Some(4));
        assert!(body.is_replayable());
        body.wait(b"d");
        assert_eq!(body.waiting(), b"d");
        body.rewind();
        assert_eq!(body.waiting(), b"abcd");
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let mut body = begun(waiting(&["abc"]), Some(4));
        body.wait(b"de");
        assert!(!body.is_replayable());
        assert_eq!((body.waiting(), body.kept()), (&b"de"[..], 2), "that has yet to go");
        assert!(!begun(waiting(&["abcde"]), Some(4)).is_replayable(), "it was too long before");
    }

    #[test]
    fn what_nobody_needs_any_more_is_given_back() {
        let mut body = begun(waiting(&["abc"]), Some(4));
        assert!(body.take_passed().is_none(), "another reader may need it");
        body.forget_replay();
        assert!(body.take_passed().is_some());
        assert_eq!(body.kept(), 0);
        let mut body = waiting(&["abc"]);
        assert_eq!(body.clear(), 3);
        assert!(body.take_passed().is_some());
    }

    #[test]
    fn credit_goes_back_for_what_came_and_for_no_more() {
        let mut body = waiting(&["abc", "de"]);
        assert_eq!([body.release(4), body.release(4), body.release(4)], [4, 1, 0]);
    }
}
