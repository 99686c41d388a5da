//! Splits a stream of bytes into lines of bounded length.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::discovery::SourceError;

/// The longest line in bytes. A slice of 1,000 endpoints is some 500 KiB.
pub const MAX_LINE: usize = 4 << 20;

/// Lines of a stream.
#[derive(Debug, Default)]
pub struct Lines {
    pending: BytesMut,
    /// So much of it has no line end.
    searched: usize,
}

impl Lines {
    /// Adds what came next. All lines are to be taken before more is added.
    pub fn push(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
    }

    /// The next line without its end.
    ///
    /// # Errors
    /// If it is too long.
    pub fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let rest = self.pending.get(self.searched..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).map(|at| self.searched + at);
        if end.unwrap_or(self.pending.len()) > MAX_LINE {
            return Err(SourceError(format!(
                "a line of the watch is longer than {MAX_LINE} bytes"
            )));
        }
        let Some(end) = end else {
            self.searched = self.pending.len();
            return Ok(None);
        };
        let line = self.pending.split_to(end).freeze();
        self.pending.advance(1);
        self.searched = 0;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines) -> Vec<Bytes> {
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    #[test]
    fn lines_are_whole_however_they_are_cut() {
        let text = b"one\n\ntwo\r\n{ 3 }\nrest";
        for step in 1..=text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for chunk in text.chunks(step) {
                lines.push(chunk);
                seen.extend(all(&mut lines));
            }
            assert_eq!(seen, ["one", "", "two\r", "{ 3 }"], "{step}");
            assert_eq!(lines.pending, b"rest"[..]);
        }
    }

    #[test]
    fn the_longest_line_passes_and_a_longer_one_does_not() {
        let mut lines = Lines::default();
        let mut line = vec![b'x'; MAX_LINE];
        lines.push(&line);
        assert_eq!(lines.next().unwrap(), None);
        lines.push(b"\n");
        assert_eq!(lines.next().unwrap().map(|line| line.len()), Some(MAX_LINE));
        line.push(b'x');
        lines.push(&line);
        assert!(lines.next().unwrap_err().0.contains("longer than"));
        line.push(b'\n');
        let mut lines = Lines::default();
        lines.push(&line);
        assert!(lines.next().is_err());
    }
}
