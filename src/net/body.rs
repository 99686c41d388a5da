//! The receive buffer of a body, between the stream it arrives on and its readers.
//!
//! One reader drives flow control: bytes that have left to it are returned to the sender as credit.
//! Another reader may take its place and replay from the first byte ([`Body::rewind`]), as long as
//! all of it was kept. Mirrors ([`Tee`]) exert no backpressure.

use std::rc::Rc;

use super::stream::Stream;
use super::tee::Tee;

/// A body being received, its buffer and its readers.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Everything from the first byte on while a replay is possible; else the bytes not yet sent to
    /// the reader.
    kept: Vec<u8>,
    /// Length of the prefix of `kept` already sent to the reader.
    passed: usize,
    /// Replay limit in bytes; `None` if it cannot be replayed.
    replay: Option<usize>,
    /// Bytes received whose credit was not returned yet.
    held: usize,
    /// END_STREAM has been received.
    pub ended: bool,
    /// The stream that the body is spliced to.
    pub reader: Option<Rc<Stream>>,
    /// Mirrors of the body.
    pub copies: Vec<Rc<Tee>>,
    /// Further bytes are discarded.
    pub drained: bool,
}

impl Body {
    /// Bytes in the buffer.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Bytes not yet sent to the reader.
    pub fn waiting(&self) -> &[u8] {
        self.kept.get(self.passed..).unwrap_or_default()
    }

    /// Whether it has a buffer; bodies that are forwarded at once never need one.
    pub fn has_buffer(&self) -> bool {
        self.kept.capacity() > 0
    }

    /// Gives it a buffer.
    pub fn give_buffer(&mut self, buffer: Vec<u8>) {
        self.kept = buffer;
    }

    /// Records received bytes and sends them to the mirrors.
    pub fn came(&mut self, payload: &[u8], end: bool) {
        self.held += payload.len();
        self.ended |= end;
        self.copies.iter().for_each(|copy| copy.feed(payload, end));
    }

    /// The credit to return for `bytes` that have left: never more than was received.
    pub fn release(&mut self, bytes: usize) -> usize {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        bytes
    }

    /// Buffers `payload` for the reader.
    pub fn wait(&mut self, payload: &[u8]) {
        self.may_keep(payload.len()); // over the replay limit, this drops the sent prefix
        self.kept.extend_from_slice(payload);
    }

    /// Sends the reader what is buffered; returns the credit to give back.
    pub fn pass_waiting(&mut self) -> usize {
        let Some(reader) = self.reader.clone().filter(|_| !self.waiting().is_empty()) else {
            return 0;
        };
        let sent = reader.feed(self.waiting(), false);
        self.passed = self.kept.len();
        self.release(sent)
    }

    /// Sends the reader new bytes, after what is buffered; returns the credit to give back.
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

    /// Takes the buffer, once nothing in it is needed, for the pool.
    pub fn take_passed(&mut self) -> Option<Vec<u8>> {
        if self.replay.is_some() || self.passed < self.kept.len() {
            return None;
        }
        self.passed = 0;
        Some(std::mem::take(&mut self.kept))
    }

    /// Makes `reader` the reader, from the first kept byte on, keeping up to `replay` bytes for a
    /// replay. Returns how many bytes have left.
    pub fn begin(&mut self, reader: &Rc<Stream>, replay: Option<usize>) -> usize {
        self.replay = replay.filter(|most| self.kept.len() <= *most);
        self.reader = Some(Rc::clone(reader));
        if self.kept.is_empty() && !self.ended {
            return 0;
        }
        self.passed = self.kept.len();
        reader.feed(&self.kept, self.ended)
    }

    /// Whether it can still be replayed from the first byte.
    pub fn is_replayable(&self) -> bool {
        self.replay.is_some()
    }

    /// Resets it for a recycled stream.
    pub fn renew(&mut self) {
        debug_assert!(!self.has_buffer() && self.reader.is_none() && self.copies.is_empty());
        (self.replay, self.held, self.ended, self.drained) = (None, 0, false, false);
    }

    /// Detaches the reader, so that another one can replay the body.
    pub fn rewind(&mut self) {
        self.reader = None;
        self.passed = 0;
    }

    /// Gives up the ability to replay.
    pub fn forget_replay(&mut self) {
        self.replay = None;
        self.kept.drain(..self.passed);
        self.passed = 0;
    }

    /// Drops the buffer; returns how many bytes had not been sent to the reader.
    pub fn clear(&mut self) -> usize {
        let waited = self.waiting().len();
        (self.replay, self.passed) = (None, self.kept.len());
        waited
    }

    /// Whether `more` bytes fit the replay limit. If not, the body is not replayable any more.
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

    /// A body whose reader has been sent everything so far.
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
