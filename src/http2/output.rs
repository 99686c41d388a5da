//! The bytes that wait to be written to the peer, and the frames as they are put there.

use super::frame::{HEAD_LEN, Head, flag, kind};
use crate::http::ErrorCode;

/// A buffer of so many bytes is not doubled any more, but made as large as bodies fill it.
const LARGE: usize = 16 << 10;
const FULL: usize = 52 << 10;

/// Frames on their way to the peer.
///
/// DATA that follows DATA of the same stream is merged into one frame while that frame has not
/// begun to leave: many small messages then cost one frame head.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    written: usize,
    last_data: Option<LastData>,
    /// Bytes that have left, and RST_STREAM frames that were put here, ever.
    gone: u64,
    resets: u64,
}

/// The DATA frame at the end of the buffer, which may still grow.
#[derive(Clone, Copy, Debug)]
struct LastData {
    stream: u32,
    head_at: usize,
    len: usize,
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
        self.last_data = None;
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

    /// RST_STREAM frames that were put here, ever.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Takes the frames of one stream out, which begin where `from` bytes have left. Returns how
    /// many bytes of DATA they had; `shift` is told of each HEADERS that comes forward thereby, and
    /// how far.
    pub fn take_out(&mut self, stream: u32, from: u64, mut shift: impl FnMut(u32, u64)) -> usize {
        self.last_data = None;
        let offset = usize::try_from(from.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        let mut read = self.written.saturating_add(offset);
        let mut write = read;
        let mut payload = 0;
        while let Some(head) = self.bytes.get(read..).and_then(|rest| rest.first_chunk()) {
            let head = Head::parse(head);
            let end = (read + HEAD_LEN + head.len as usize).min(self.bytes.len());
            if head.stream == stream {
                payload += if head.kind == kind::DATA { head.len as usize } else { 0 };
            } else {
                if head.kind == kind::HEADERS {
                    shift(head.stream, (read - write) as u64);
                }
                self.bytes.copy_within(read..end, write);
                write += end - read;
            }
            read = end;
        }
        self.bytes.truncate(write);
        payload
    }

    /// Gives the memory of an empty buffer back.
    pub fn shrink(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Makes room for a piece of a body. Of bodies so little is put here that doubling would waste
    /// half of the memory, once for each reader who is slow.
    fn make_room(&mut self, bytes: usize) {
        if self.bytes.len() >= LARGE {
            self.bytes.reserve_exact(bytes.max(FULL.saturating_sub(self.bytes.len())));
        }
    }

    /// Appends raw bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.last_data = None;
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends what `write` writes.
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.last_data = None;
        write(&mut self.bytes);
    }

    /// Appends a frame of less than 2^24 bytes.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let head = Head { len: payload.len() as u32, kind, flags, stream };
        self.raw(&head.bytes());
        self.bytes.extend_from_slice(payload);
    }

    /// Appends DATA of at most `max` bytes, into the last frame where that is possible.
    pub fn data(&mut self, stream: u32, payload: &[u8], end: bool, max: usize) {
        let last = self
            .last_data
            .filter(|last| last.stream == stream && last.len + payload.len() <= max)
            .unwrap_or(LastData { stream, head_at: self.bytes.len(), len: 0 });
        let len = last.len + payload.len();
        let flags = if end { flag::END_STREAM } else { 0 };
        let head = Head { len: len as u32, kind: kind::DATA, flags, stream }.bytes();
        self.make_room(HEAD_LEN + payload.len());
        match self.bytes.get_mut(last.head_at..last.head_at + HEAD_LEN) {
            Some(before) => before.copy_from_slice(&head),
            None => self.bytes.extend_from_slice(&head),
        }
        self.bytes.extend_from_slice(payload);
        self.last_data = Some(LastData { len, ..last }).filter(|_| !end);
    }

    /// Appends a header block that `encode` writes, as HEADERS and, past `max` bytes, as
    /// CONTINUATION.
    pub fn headers(
        &mut self,
        stream: u32,
        end: bool,
        max: usize,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        let end = if end { flag::END_STREAM } else { 0 };
        self.last_data = None;
        let head_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD_LEN]);
        encode(&mut self.bytes);
        let block_at = head_at + HEAD_LEN;
        let len = self.bytes.len() - block_at;
        if len <= max {
            let flags = flag::END_HEADERS | end;
            let head = Head { len: len as u32, kind: kind::HEADERS, flags, stream };
            if let Some(at) = self.bytes.get_mut(head_at..block_at) {
                at.copy_from_slice(&head.bytes());
            }
            return;
        }
        let block = self.bytes.split_off(block_at);
        self.bytes.truncate(head_at);
        let (mut kind, mut flags) = (kind::HEADERS, end);
        let mut pieces = block.chunks(max).peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                flags |= flag::END_HEADERS;
            }
            self.frame(kind, flags, stream, piece);
            (kind, flags) = (kind::CONTINUATION, 0);
        }
    }

    /// Appends RST_STREAM.
    pub fn reset(&mut self, stream: u32, code: ErrorCode) {
        self.resets += 1;
        self.frame(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
    }

    /// Appends WINDOW_UPDATE.
    pub fn window_update(&mut self, stream: u32, by: u32) {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    }

    /// Appends PING.
    pub fn ping(&mut self, payload: [u8; 8], ack: bool) {
        self.frame(kind::PING, if ack { flag::ACK } else { 0 }, 0, &payload);
    }

    /// Appends GOAWAY.
    pub fn go_away(&mut self, last: u32, code: ErrorCode, detail: &str) {
        let mut payload = Vec::with_capacity(8 + detail.len());
        payload.extend_from_slice(&last.to_be_bytes());
        payload.extend_from_slice(&code.0.to_be_bytes());
        payload.extend_from_slice(detail.as_bytes());
        self.frame(kind::GOAWAY, 0, 0, &payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_one_stream_is_merged_until_it_leaves() {
        let mut out = Output::default();
        out.data(1, b"abc", false, 100);
        out.data(1, b"de", false, 100);
        assert_eq!(out.bytes(), b"\0\0\x05\0\0\0\0\0\x01abcde");
        out.data(3, b"x", true, 100);
        out.data(3, b"y", false, 100);
        assert_eq!(out.len(), 14 + 10 + 10);
        out.advance(34);
        out.data(1, b"f", true, 100);
        assert_eq!(out.bytes(), b"\0\0\x01\0\x01\0\0\0\x01f");
    }

    #[test]
    fn long_blocks_are_continued() {
        let mut out = Output::default();
        out.headers(1, true, 4, |b| b.extend_from_slice(b"0123456789"));
        let expected = b"\0\0\x04\x01\x01\0\0\0\x010123\0\0\x04\x09\0\0\0\0\x014567\0\0\x02\x09\x04\0\0\0\x0189";
        assert_eq!(out.bytes(), expected);
    }
}
