//! Trims optional whitespace around field values (RFC 9110, section 5.5).
//!
//! RFC 9113, section 8.2.1, calls such a message malformed; this is lenient on purpose. gRPC does
//! not trim, so servers end messages, and both sides metadata, with a blank, and other gateways
//! forward that. Rejecting would protect no backend, as forwarded values are trimmed.

use super::arena::{Arena, Range};
use super::{Headers, Name};

impl Headers {
    /// Trims all values but those of pseudo-headers, which may have none. Around a `grpc-message`
    /// blanks are part of the text, and are percent-encoded.
    pub(crate) fn trim(&mut self) {
        let arena = self.arena();
        if arena.ranges.iter().any(|range| has_outer_blanks(arena.field(range).value)) {
            trim(self.arena_mut());
        }
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn has_outer_blanks(value: &[u8]) -> bool {
    value.first().is_some_and(is_blank) || value.last().is_some_and(is_blank)
}

/// Leading and trailing blanks of a value.
fn outer_blanks(value: &[u8]) -> (usize, usize) {
    let before = value.iter().take_while(|byte| is_blank(byte)).count();
    let rest = value.iter().skip(before);
    (before, rest.rev().take_while(|byte| is_blank(byte)).count())
}

#[cold]
fn trim(arena: &mut Arena) {
    arena.tag = None;
    let Arena { bytes, ranges, .. } = arena;
    for range in ranges.iter_mut().filter(|range| !range.id.is_pseudo()) {
        let start = range.start as usize;
        let value = start + range.name_len as usize;
        let end = value + range.value_len as usize;
        let (before, behind) = outer_blanks(bytes.get(value..end).unwrap_or_default());
        if before + behind == 0 {
            continue;
        }
        if range.id == Name::GrpcMessage {
            encode(bytes, range);
            continue;
        }
        bytes.copy_within(start..value, start + before); // the name is before its value
        range.start += before as u32;
        range.value_len -= (before + behind) as u32;
    }
}

/// Rewrites a field with its outermost blanks percent-encoded, as gRPC decodes them: those in
/// between are then inner ones, so the field grows little.
fn encode(bytes: &mut Vec<u8>, range: &mut Range) {
    let start = range.start as usize;
    let value = start + range.name_len as usize;
    let end = value + range.value_len as usize;
    let begin = bytes.len();
    bytes.extend_from_within(start..value);
    for at in value..end {
        let outermost = at == value || at + 1 == end;
        match bytes.get(at).copied().unwrap_or_default() {
            b'\t' if outermost => bytes.extend_from_slice(b"%09"),
            b' ' if outermost => bytes.extend_from_slice(b"%20"),
            byte => bytes.push(byte),
        }
    }
    range.start = begin as u32;
    range.value_len = (bytes.len() - begin) as u32 - range.name_len;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trimmed(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.add_named(name.as_bytes(), value.as_bytes());
        }
        headers.trim();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        headers.iter().map(|field| (text(field.name), text(field.value))).collect()
    }

    #[test]
    fn blanks_around_a_value_are_taken_off_and_those_within_stay() {
        let cases = [
            ("v", "v"),
            ("", ""),
            ("v ", "v"),
            (" v", "v"),
            ("\t v\tw  x \t ", "v\tw  x"),
            (" ", ""),
            (" \t ", ""),
        ];
        for (value, expected) in cases {
            let fields = [("x-before", " 1"), ("x-name", value), ("x-behind", "2 ")];
            let expected = [("x-before", "1"), ("x-name", expected), ("x-behind", "2")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(trimmed(&fields), expected, "{value:?}");
        }
    }

    #[test]
    fn those_around_a_message_are_encoded() {
        let cases = [
            ("cannot parse: ", "cannot parse:%20"),
            (" \tno", "%20\tno"),
            ("  a b  ", "%20 a b %20"),
            (" ", "%20"),
            ("50%25 ", "50%25%20"),
            ("as it is", "as it is"),
        ];
        for (value, expected) in cases {
            let fields = [("grpc-status", " 3"), ("grpc-message", value), ("x", "y ")];
            let expected = [("grpc-status", "3"), ("grpc-message", expected), ("x", "y")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(trimmed(&fields), expected, "{value:?}");
        }
    }

    #[test]
    fn a_pseudo_header_keeps_its_blanks_to_be_refused_for_them() {
        assert_eq!(trimmed(&[(":path", "/ "), ("x", " y")])[0].1, "/ ");
    }

    #[test]
    fn a_block_that_is_shared_stays_as_it_is() {
        let mut one = Headers::new();
        one.add_named(b"x", b"y ");
        let mut other = one.clone();
        other.trim();
        assert_eq!(
            (one.get_named(b"x"), other.get_named(b"x")),
            (Some(&b"y "[..]), Some(&b"y"[..]))
        );
    }
}
