//! Paths that a router and a backend may read differently: dot segments, doubled slashes, escapes
//! that hide them. They are normalised or refused before a route is looked up, so that what is
//! routed is what is forwarded. The query is left as it is.
//!
//! The control bytes, blanks and fragments that no path has are refused by the codecs, whatever the
//! setting (`message::request`).

use memchr::memchr;

/// What a listener does with such paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paths {
    /// They are routed and forwarded as they come.
    #[default]
    AsIs,
    /// Those that have one meaning are rewritten to their normal form, the others refused.
    Normalise,
    /// All but normal ones are refused.
    Strict,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// A `%` without two hexadecimal digits.
    BadEscape,
    /// `%2F` or `%5C`: a slash to some, a part of a name to others.
    EncodedSlash,
    /// A control byte, NUL among them, or a byte of an overlong encoding, escaped.
    EncodedControl,
    /// A `;`: what follows is a parameter to some, a part of a name to others.
    Parameters,
    /// Dot segments that lead above the root.
    AboveRoot,
    /// Not in normal form, where only that is taken.
    NotNormal,
}

/// Checks the path of a request, query included. `Ok(Some(_))` is what to go on with in its place.
///
/// # Errors
/// Says why the request is to be refused.
pub fn check(path: &[u8], paths: Paths) -> Result<Option<Vec<u8>>, PathFault> {
    // Asterisk-form begins with no slash, and has no segments.
    if paths == Paths::AsIs || path.first() != Some(&b'/') || is_plain(path) {
        return Ok(None);
    }
    let (path, query) = path.split_at(memchr(b'?', path).unwrap_or(path.len()));
    let mut normal = normalise(path)?;
    if normal == path {
        return Ok(None);
    }
    if paths == Paths::Strict {
        return Err(PathFault::NotNormal);
    }
    normal.extend_from_slice(query);
    Ok(Some(normal))
}

/// Whether nothing in the path calls for a closer look, which is so for every path of gRPC.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        match byte {
            b'?' => return true,
            b'%' | b'\\' | b';' => return false,
            b'/' | b'.' if before == b'/' => return false,
            _ => before = byte,
        }
    }
    true
}

/// The normal form (RFC 3986, section 6.2.2) of a path that begins with a slash: no dot segments and
/// no empty ones but the last, no backslashes, no escapes of what needs none.
fn normalise(path: &[u8]) -> Result<Vec<u8>, PathFault> {
    let mut normal = Vec::with_capacity(path.len());
    let mut segments = path.split(|byte| matches!(byte, b'/' | b'\\')).skip(1).peekable();
    while let Some(segment) = segments.next() {
        let begin = normal.len();
        normal.push(b'/');
        decode(segment, &mut normal)?;
        let is_last = segments.peek().is_none();
        match normal.get(begin..).unwrap_or_default() {
            b"/" if is_last => {}
            b"/" => normal.truncate(begin),
            b"/." => normal.truncate(begin + usize::from(is_last)),
            b"/.." => {
                normal.truncate(begin);
                let parent = memchr::memrchr(b'/', &normal).ok_or(PathFault::AboveRoot)?;
                normal.truncate(parent + usize::from(is_last));
            }
            _ => {}
        }
    }
    Ok(normal)
}

/// Appends a segment, with escapes of unreserved characters decoded, and those of others in capitals.
fn decode(segment: &[u8], to: &mut Vec<u8>) -> Result<(), PathFault> {
    let mut bytes = segment.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b';' => return Err(PathFault::Parameters),
            b'%' => {
                let digits = [bytes.next(), bytes.next()].map(|digit| digit.copied().unwrap_or(0));
                let value = hex(digits).ok_or(PathFault::BadEscape)?;
                match value {
                    b'/' | b'\\' => return Err(PathFault::EncodedSlash),
                    // C0 and C1 begin no character of UTF-8, but overlong slashes and dots.
                    0..b' ' | 0x7f | 0xc0 | 0xc1 => return Err(PathFault::EncodedControl),
                    _ if is_unreserved(value) => to.push(value),
                    _ => {
                        to.push(b'%');
                        to.extend(digits.map(|digit| digit.to_ascii_uppercase()));
                    }
                }
            }
            byte => to.push(byte),
        }
    }
    Ok(())
}

fn hex([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normalised(path: &str) -> Result<String, PathFault> {
        let normal = check(path.as_bytes(), Paths::Normalise)?;
        Ok(normal.map_or(path.to_owned(), |normal| String::from_utf8(normal).unwrap()))
    }

    #[test]
    fn what_has_one_meaning_is_given_its_normal_form() {
        for (path, normal) in [
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/.", "/"),
            ("/a/../", "/"),
            ("//a", "/a"),
            ("/a//b///c//", "/a/b/c/"),
            ("//", "/"),
            ("/a//../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/%2e", "/"),
            ("/a\\..\\b", "/b"),
            ("/a\\b", "/a/b"),
            ("/%61dmin", "/admin"),
            ("/%7euser", "/~user"),
            ("/a%2a", "/a%2A"),
            ("/a/../b?x=/../%2f;y//", "/b?x=/../%2f;y//"),
            ("/x/../pkg.Service/Method", "/pkg.Service/Method"),
        ] {
            assert_eq!(normalised(path).as_deref(), Ok(normal), "{path}");
            assert_eq!(check(path.as_bytes(), Paths::AsIs), Ok(None), "{path}");
            let strict = check(path.as_bytes(), Paths::Strict);
            assert_eq!(strict, Err(PathFault::NotNormal), "{path}");
        }
    }

    #[test]
    fn what_is_normal_stays_as_it_is() {
        for path in [
            "/",
            "/pkg.Service/Method",
            "/.well-known/x",
            "/a/...",
            "/a/..b/.c",
            "/a./b../",
            "/a%20b",
            "/%E2%82%AC/%25",
            "/a?b=%2F&c=..//;d\\%",
            "/?//",
            "*",
        ] {
            for paths in [Paths::AsIs, Paths::Normalise, Paths::Strict] {
                assert_eq!(check(path.as_bytes(), paths), Ok(None), "{path}");
            }
        }
    }

    #[test]
    fn what_has_more_than_one_meaning_is_refused() {
        for (path, fault) in [
            ("/a%2fb", PathFault::EncodedSlash),
            ("/a%2F..%2Fb", PathFault::EncodedSlash),
            ("/a%5cb", PathFault::EncodedSlash),
            ("/a%00", PathFault::EncodedControl),
            ("/a%0d%0Ab", PathFault::EncodedControl),
            ("/a%7F", PathFault::EncodedControl),
            ("/a/%c0%ae%c0%ae/b", PathFault::EncodedControl),
            ("/a%", PathFault::BadEscape),
            ("/a%2", PathFault::BadEscape),
            ("/a%zz", PathFault::BadEscape),
            ("/a%+1", PathFault::BadEscape),
            ("/a%u002e", PathFault::BadEscape),
            ("/a%2?5", PathFault::BadEscape),
            ("/a;b=c/d", PathFault::Parameters),
            ("/a/..;/b", PathFault::Parameters),
            ("/..", PathFault::AboveRoot),
            ("/a/../../b", PathFault::AboveRoot),
            ("/%2e%2e/b", PathFault::AboveRoot),
            ("//../b", PathFault::AboveRoot),
        ] {
            for paths in [Paths::Normalise, Paths::Strict] {
                assert_eq!(check(path.as_bytes(), paths), Err(fault), "{path}");
            }
        }
    }

    proptest! {
        /// Whatever comes, a normal form is normal, and has none of the tricks.
        #[test]
        fn a_normal_form_is_normal(path in "/([a-c./\\\\%;?]|%2[eEfF5]|%[0-9a-fA-F]{2}){0,12}") {
            if let Ok(Some(normal)) = check(path.as_bytes(), Paths::Normalise) {
                prop_assert_eq!(check(&normal, Paths::Strict), Ok(None));
                let end = memchr(b'?', &normal).unwrap_or(normal.len());
                let segments: Vec<_> = normal[1..end].split(|&byte| byte == b'/').collect();
                let (last, before) = segments.split_last().unwrap();
                prop_assert!(before.iter().all(|segment| !segment.is_empty()));
                prop_assert!(segments.iter().all(|segment| ![&b"."[..], b".."].contains(segment)));
                prop_assert!(!last.contains(&b'\\'));
            }
        }
    }
}
