//! The receive buffer of a body, between the stream it arrives on and its readers.
//!
//! One reader drives flow control: bytes that were sent to it are returned to the sender as credit.
//! Another reader may take its place and replay from the first byte ([`Body::rewind`]), as long as
//! all of it was buffered. Mirrors ([`Tee`]) exert no backpressure.

use std::rc::Rc;

use super::stream::Stream;
use super::tee::Tee;

/// A body being received, its buffer and its readers.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Everything from the first byte on while a replay is possible; else the bytes not yet sent to
    /// the reader.
    buffer: Vec<u8>,
    /// Length of the prefix of `buffer` already sent to the reader.
    forwarded: usize,
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
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes not yet sent to the reader.
    pub fn unsent(&self) -> &[u8] {
        self.buffer.get(self.forwarded..).unwrap_or_default()
    }

    /// Whether it has a buffer; bodies that are forwarded at once never need one.
    pub fn has_buffer(&self) -> bool {
        self.buffer.capacity() > 0
    }

    /// Gives it a buffer.
    pub fn set_buffer(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// Records received bytes and sends them to the mirrors.
    pub fn receive(&mut self, payload: &[u8], end: bool) {
        self.held += payload.len();
        self.ended |= end;
        self.copies.iter().for_each(|copy| copy.feed(payload, end));
    }

    /// The credit to return for `bytes` that were sent on: never more than was received.
    pub fn release(&mut self, bytes: usize) -> usize {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        bytes
    }

    /// Buffers `payload` for the reader.
    pub fn buffer(&mut self, payload: &[u8]) {
        self.fits_replay(payload.len()); // over the replay limit, this drops the sent prefix
        self.buffer.extend_from_slice(payload);
    }

    /// Sends the reader what is buffered; returns the credit to give back.
    pub fn forward_buffered(&mut self) -> usize {
        let Some(reader) = self.reader.clone().filter(|_| !self.unsent().is_empty()) else {
            return 0;
        };
        let sent = reader.feed(self.unsent(), false);
        self.forwarded = self.buffer.len();
        self.release(sent)
    }

    /// Sends the reader new bytes, after what is buffered; returns the credit to give back.
    pub fn forward(&mut self, payload: &[u8], end: bool) -> usize {
        let waited = self.forward_buffered();
        let Some(reader) = &self.reader else { return waited };
        let sent = reader.feed(payload, end);
        if self.fits_replay(payload.len()) {
            self.buffer.extend_from_slice(payload);
            self.forwarded = self.buffer.len();
        }
        waited + self.release(sent)
    }

    /// Takes the buffer, once nothing in it is needed, for the pool.
    pub fn take_buffer(&mut self) -> Option<Vec<u8>> {
        if self.replay.is_some() || self.forwarded < self.buffer.len() {
            return None;
        }
        self.forwarded = 0;
        Some(std::mem::take(&mut self.buffer))
    }

    /// Makes `reader` the reader, from the first buffered byte on, buffering up to `replay` bytes for a
    /// replay. Returns how many bytes were sent to it.
    pub fn begin(&mut self, reader: &Rc<Stream>, replay: Option<usize>) -> usize {
        self.replay = replay.filter(|most| self.buffer.len() <= *most);
        self.reader = Some(Rc::clone(reader));
        if self.buffer.is_empty() && !self.ended {
            return 0;
        }
        self.forwarded = self.buffer.len();
        reader.feed(&self.buffer, self.ended)
    }

    /// Everything from the first byte on, while it can be replayed.
    pub fn held(&self) -> &[u8] {
        if self.replay.is_some() { &self.buffer } else { &[] }
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
        self.forwarded = 0;
    }

    /// Gives up the ability to replay.
    pub fn forget_replay(&mut self) {
        self.replay = None;
        self.buffer.drain(..self.forwarded);
        self.forwarded = 0;
    }

    /// Drops the buffer; returns how many bytes had not been sent to the reader.
    pub fn clear(&mut self) -> usize {
        let waited = self.unsent().len();
        (self.replay, self.forwarded) = (None, self.buffer.len());
        waited
    }

    /// Whether `more` bytes fit the replay limit. If not, the body is not replayable any more.
    fn fits_replay(&mut self, more: usize) -> bool {
        let Some(most) = self.replay else { return false };
        let may = self.buffer.len() + more <= most;
        if !may {
            self.forget_replay();
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsent(parts: &[&str]) -> Body {
        let mut body = Body::default();
        for part in parts {
            body.receive(part.as_bytes(), false);
            body.buffer(part.as_bytes());
        }
        body
    }

    /// A body whose reader has been sent everything so far.
    fn begun(mut body: Body, replay: Option<usize>) -> Body {
        body.replay = replay.filter(|most| body.buffer.len() <= *most);
        body.forwarded = body.buffer.len();
        body
    }

    #[test]
    fn what_comes_before_a_reader_waits_for_it() {
        let mut body = unsent(&["ab", "c"]);
        assert_eq!((body.unsent(), body.buffered()), (&b"abc"[..], 3));
        assert!(body.take_buffer().is_none());
        assert_eq!(body.forward_buffered(), 0, "nobody takes it");
    }

    #[test]
    fn the_next_reader_begins_at_the_first_byte() {
        let mut body = begun(unsent(&["abc"]), Some(4));
        assert!(body.is_replayable());
        body.buffer(b"d");
        assert_eq!(body.unsent(), b"d");
        body.rewind();
        assert_eq!(body.unsent(), b"abcd");
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let mut body = begun(unsent(&["abc"]), Some(4));
        body.buffer(b"de");
        assert!(!body.is_replayable());
        assert_eq!((body.unsent(), body.buffered()), (&b"de"[..], 2), "that has yet to go");
        assert!(!begun(unsent(&["abcde"]), Some(4)).is_replayable(), "it was too long before");
    }

    #[test]
    fn what_nobody_needs_any_more_is_given_back() {
        let mut body = begun(unsent(&["abc"]), Some(4));
        assert!(body.take_buffer().is_none(), "another reader may need it");
        body.forget_replay();
        assert!(body.take_buffer().is_some());
        assert_eq!(body.buffered(), 0);
        let mut body = unsent(&["abc"]);
        assert_eq!(body.clear(), 3);
        assert!(body.take_buffer().is_some());
    }

    #[test]
    fn credit_goes_back_for_what_came_and_for_no_more() {
        let mut body = unsent(&["abc", "de"]);
        assert_eq!([body.release(4), body.release(4), body.release(4)], [4, 1, 0]);
    }
}
