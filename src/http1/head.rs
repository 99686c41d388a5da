//! Scanning and splitting heads: a first line and field lines, each ended by CRLF.

use memchr::memchr;

/// The result of scanning for the end of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Complete, with this length, the empty line included.
    Whole(usize),
    /// Incomplete; scanned up to here.
    Partial(usize),
}

/// Finds the end of the head at the front of `input`, resuming at `from`, so that input byte by
/// byte does not cost quadratic time.
pub fn scan(input: &[u8], from: usize) -> Result<Scan, &'static str> {
    let mut start = from;
    while let Some(rest) = input.get(start..)
        && let Some(length) = memchr(b'\n', rest)
    {
        match rest.get(..length) {
            Some([.., b'\r']) => start += length + 1,
            _ => return Err("a line ends without CR"),
        }
        if length == 1 {
            return Ok(Scan::Whole(start));
        }
    }
    Ok(Scan::Partial(start))
}

/// The first line of a head, and the lines after it.
pub fn split(head: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b'\n', head).and_then(|at| head.split_at_checked(at + 1)) {
        Some((line, rest)) => (without_crlf(line), rest),
        None => (head, &[]),
    }
}

/// The fields in `lines`: names and values. Names are non-empty tokens, in either case.
pub fn fields(
    lines: &[u8],
    of_response: bool,
) -> impl Iterator<Item = Result<(&[u8], &[u8]), &'static str>> {
    let mut lines = lines;
    std::iter::from_fn(move || {
        let at = memchr(b'\n', lines)?;
        let (line, rest) = lines.split_at_checked(at + 1)?;
        lines = rest;
        let line = without_crlf(line);
        (!line.is_empty()).then(|| field(line, of_response))
    })
}

fn field(line: &[u8], of_response: bool) -> Result<(&[u8], &[u8]), &'static str> {
    if matches!(line, [b' ' | b'\t', ..]) {
        return Err("a folded line");
    }
    let colon = memchr(b':', line).ok_or("a field without a colon")?;
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    // A blank before the colon makes a request ambiguous, but is stripped from a response (RFC
    // 9112, section 5.1).
    let name = if of_response { trim(name) } else { name };
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
        return Err("a field name with a forbidden character");
    }
    Ok((name, trim(value.get(1..).unwrap_or_default())))
}

fn without_crlf(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r\n").unwrap_or(line)
}

/// Trims optional whitespace.
pub fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
    value.get(start..end).unwrap_or_default()
}

/// Whether a token may have this byte (RFC 9110, section 5.6.2).
pub fn is_token(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let allowed =
            b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut i = 0;
        while i < allowed.len() {
            table[allowed[i] as usize] = true;
            i += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}
