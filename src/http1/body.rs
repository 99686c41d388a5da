//! Message framing: content-length, chunked, until close (RFC 9112, sections 6 and 7).

use memchr::memchr;

use super::head::{self, Scan};

/// Maximum length of a chunk-size line, extensions included.
const MAX_SIZE_LINE: usize = 256;

/// The remaining body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Content-length, with this many bytes remaining; at least one.
    Length(u64),
    /// Chunked transfer coding.
    Chunked(Chunk),
    /// Delimited by the end of the connection.
    UntilClose,
}

/// Parser state of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// A chunk-size line is next.
    Size,
    /// Bytes of this chunk that remain.
    Data(u64),
    /// The CRLF after the chunk is next.
    End,
    /// Trailers, scanned up to here.
    Trailers(usize),
}

/// A piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Some bytes, and whether they were the last.
    Data(&'a [u8], bool),
    /// The end of a chunked body, with the lines of its trailers.
    Trailers(&'a [u8]),
    /// More input is needed.
    Wanting,
}

impl Body {
    /// Parses a piece of at most `most` bytes, not 0, off the front of `input`; trailers of at most
    /// `trailers` bytes.
    pub fn take<'a>(
        &mut self,
        input: &mut &'a [u8],
        most: usize,
        trailers: usize,
    ) -> Result<Piece<'a>, &'static str> {
        match self {
            _ if input.is_empty() => Ok(Piece::Wanting),
            Body::UntilClose => Ok(Piece::Data(take(input, most), false)),
            Body::Length(left) => {
                let data = take_counted(input, left, most);
                Ok(Piece::Data(data, *left == 0))
            }
            Body::Chunked(chunk) => chunk.take(input, most, trailers),
        }
    }

    /// Whether a partial line is buffered, to which the frame timeout applies.
    pub fn is_in_line(&self) -> bool {
        matches!(self, Body::Chunked(Chunk::Size | Chunk::End | Chunk::Trailers(_)))
    }
}

impl Chunk {
    fn take<'a>(
        &mut self,
        input: &mut &'a [u8],
        most: usize,
        trailers: usize,
    ) -> Result<Piece<'a>, &'static str> {
        loop {
            match self {
                Chunk::Data(left) => {
                    if input.is_empty() {
                        return Ok(Piece::Wanting);
                    }
                    let data = take_counted(input, left, most);
                    if *left == 0 {
                        *self = Chunk::End;
                    }
                    return Ok(Piece::Data(data, false));
                }
                Chunk::End => match input {
                    [b'\r', b'\n', rest @ ..] => {
                        *input = rest;
                        *self = Chunk::Size;
                    }
                    [] | [b'\r'] => return Ok(Piece::Wanting),
                    _ => return Err("no line end behind a chunk"),
                },
                Chunk::Size => {
                    let Some(size) = size_line(input)? else { return Ok(Piece::Wanting) };
                    *self = if size == 0 { Chunk::Trailers(0) } else { Chunk::Data(size) };
                }
                Chunk::Trailers(seen) => match head::scan(input, *seen)? {
                    Scan::Whole(len) => return Ok(Piece::Trailers(take(input, len))),
                    Scan::Partial(_) if input.len() > trailers => return Err("trailers too large"),
                    Scan::Partial(lines) => {
                        *seen = lines;
                        return Ok(Piece::Wanting);
                    }
                },
            }
        }
    }
}

/// Parses a chunk-size line; `None` if it is incomplete.
fn size_line(input: &mut &[u8]) -> Result<Option<u64>, &'static str> {
    const BAD: &str = "a chunk's size is not a number";
    const LONG: &str = "the line of a chunk's size is too long";
    let Some(at) = memchr(b'\n', input) else {
        return if input.len() <= MAX_SIZE_LINE { Ok(None) } else { Err(LONG) };
    };
    let line = take(input, at + 1);
    let line = line.strip_suffix(b"\r\n").ok_or("a line ends without CR")?;
    if line.len() > MAX_SIZE_LINE {
        return Err(LONG);
    }
    if line.contains(&b'\r') {
        return Err("a CR in the line of a chunk's size");
    }
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits).unwrap_or_default();
    // Sixteen digits could overflow, and no chunk is that large.
    if !(1..=15).contains(&digits.len()) || !matches!(head::trim(rest), [] | [b';', ..]) {
        return Err(BAD);
    }
    let hex = |byte: &u8| char::from(*byte).to_digit(16).map_or(0, u64::from);
    Ok(Some(digits.iter().fold(0, |sum, digit| sum * 16 + hex(digit))))
}

/// Takes up to `most` bytes, and no more than remain.
fn take_counted<'a>(input: &mut &'a [u8], left: &mut u64, most: usize) -> &'a [u8] {
    let most = most.min(usize::try_from(*left).unwrap_or(usize::MAX));
    let taken = take(input, most);
    *left -= taken.len() as u64;
    taken
}

fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}
