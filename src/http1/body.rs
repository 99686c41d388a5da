//! Where a message ends, and its pieces (RFC 9112, sections 6 and 7).

use memchr::memchr;

use super::head::{self, Scan};

/// A line with the size of a chunk, its extensions included, is no longer.
const LONGEST_SIZE_LINE: usize = 256;

/// What is left to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked(Chunk),
    /// All that comes until the connection ends.
    UntilClose,
}

/// How far a chunked body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// A line with a size comes next.
    Size,
    /// So many bytes of this chunk are to come.
    Data(u64),
    /// The end of the line behind the chunk's bytes.
    End,
    /// Trailers, whose lines up to here have been looked at.
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
    /// Takes a piece of at most `most` bytes, not 0, off the front of `input`; trailers of at
    /// most `trailers` bytes.
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

    /// Whether a line has begun that must end before anything can be made of it.
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

/// Takes the line with a chunk's size; `None` when it is not whole.
fn size_line(input: &mut &[u8]) -> Result<Option<u64>, &'static str> {
    const BAD: &str = "a chunk's size is not a number";
    const LONG: &str = "the line of a chunk's size is too long";
    let Some(at) = memchr(b'\n', input) else {
        return if input.len() <= LONGEST_SIZE_LINE { Ok(None) } else { Err(LONG) };
    };
    let line = take(input, at + 1);
    let line = line.strip_suffix(b"\r\n").ok_or("a line ends without CR")?;
    if line.len() > LONGEST_SIZE_LINE {
        return Err(LONG);
    }
    if line.contains(&b'\r') {
        return Err("a CR in the line of a chunk's size");
    }
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits).unwrap_or_default();
    // Sixteen digits could not be added up; nobody needs them.
    if !(1..=15).contains(&digits.len()) || !matches!(head::trim(rest), [] | [b';', ..]) {
        return Err(BAD);
    }
    let hex = |byte: &u8| char::from(*byte).to_digit(16).map_or(0, u64::from);
    Ok(Some(digits.iter().fold(0, |sum, digit| sum * 16 + hex(digit))))
}

/// Takes up to `most` bytes, and no more than are left.
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
