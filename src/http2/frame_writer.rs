//! Encoding frames into the output.

use super::frame::{HEAD_LEN, Head, flag, kind};
use crate::http::{ErrorCode, Output};

/// Appends frames to the output.
///
/// DATA coalescing: DATA that follows a DATA frame of the same stream, of which no byte was written,
/// extends that frame, so that many small messages cost one frame header.
#[derive(Debug, Default)]
pub struct FrameWriter {
    pub output: Output,
    last_data: Option<LastData>,
    /// RST_STREAM frames written in the connection's lifetime.
    resets: u64,
}

/// The DATA frame at the end of the output, which may be extended.
#[derive(Clone, Copy, Debug)]
struct LastData {
    stream: u32,
    head_at: usize,
    len: usize,
    /// Bytes that had been written when it was appended.
    gone: u64,
}

impl FrameWriter {
    /// RST_STREAM frames written in the connection's lifetime.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Removes the frames of one stream from the output, beginning at position `from`. Returns how
    /// many bytes of DATA they had; `shift` is called for each HEADERS that moves forward, and by
    /// how much.
    pub fn take_out(&mut self, stream: u32, from: u64, mut shift: impl FnMut(u32, u64)) -> usize {
        self.last_data = None;
        let mut read = self.output.index_of(from);
        let bytes = self.output.buffer();
        let mut write = read;
        let mut payload = 0;
        while let Some(head) = bytes.get(read..).and_then(|rest| rest.first_chunk()) {
            let head = Head::parse(head);
            let end = (read + HEAD_LEN + head.len as usize).min(bytes.len());
            if head.stream == stream {
                payload += if head.kind == kind::DATA { head.len as usize } else { 0 };
            } else {
                if head.kind == kind::HEADERS {
                    shift(head.stream, (read - write) as u64);
                }
                bytes.copy_within(read..end, write);
                write += end - read;
            }
            read = end;
        }
        bytes.truncate(write);
        payload
    }

    /// Appends a frame of less than 2^24 bytes.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let head = Head { len: payload.len() as u32, kind, flags, stream };
        self.last_data = None;
        self.output.raw(&head.bytes());
        self.output.raw(payload);
    }

    /// Appends DATA of at most `max` bytes, extending the last frame where possible.
    pub fn data(&mut self, stream: u32, payload: &[u8], end: bool, max: usize) {
        let gone = self.output.total_written();
        let last = self
            .last_data
            .filter(|last| last.stream == stream && last.len + payload.len() <= max)
            .filter(|last| last.gone == gone)
            .unwrap_or(LastData { stream, head_at: self.output.buffer().len(), len: 0, gone });
        let len = last.len + payload.len();
        let flags = if end { flag::END_STREAM } else { 0 };
        let head = Head { len: len as u32, kind: kind::DATA, flags, stream }.bytes();
        self.output.make_room(HEAD_LEN + payload.len());
        let bytes = self.output.buffer();
        match bytes.get_mut(last.head_at..last.head_at + HEAD_LEN) {
            Some(before) => before.copy_from_slice(&head),
            None => bytes.extend_from_slice(&head),
        }
        bytes.extend_from_slice(payload);
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
        let bytes = self.output.buffer();
        let head_at = bytes.len();
        bytes.extend_from_slice(&[0; HEAD_LEN]);
        encode(bytes);
        let block_at = head_at + HEAD_LEN;
        let len = bytes.len() - block_at;
        if len <= max {
            let flags = flag::END_HEADERS | end;
            let head = Head { len: len as u32, kind: kind::HEADERS, flags, stream };
            if let Some(at) = bytes.get_mut(head_at..block_at) {
                at.copy_from_slice(&head.bytes());
            }
            return;
        }
        let block = bytes.split_off(block_at);
        bytes.truncate(head_at);
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
        let mut out = FrameWriter::default();
        out.data(1, b"abc", false, 100);
        out.data(1, b"de", false, 100);
        assert_eq!(out.output.bytes(), b"\0\0\x05\0\0\0\0\0\x01abcde");
        out.data(3, b"x", true, 100);
        out.data(3, b"y", false, 100);
        assert_eq!(out.output.len(), 14 + 10 + 10);
        out.output.advance(34);
        out.data(1, b"f", true, 100);
        assert_eq!(out.output.bytes(), b"\0\0\x01\0\x01\0\0\0\x01f");
    }

    #[test]
    fn long_blocks_are_continued() {
        let mut out = FrameWriter::default();
        out.headers(1, true, 4, |b| b.extend_from_slice(b"0123456789"));
        let expected = b"\0\0\x04\x01\x01\0\0\0\x010123\0\0\x04\x09\0\0\0\0\x014567\0\0\x02\x09\x04\0\0\0\x0189";
        assert_eq!(out.output.bytes(), expected);
    }
}
