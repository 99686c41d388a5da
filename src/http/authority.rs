//! Normalised comparison of authorities (RFC 3986, section 6.2).

/// Whether both are the same host and port for this scheme: case, a trailing dot and the default
/// port make no difference.
pub fn same(one: &[u8], other: &[u8], scheme: Option<&[u8]>) -> bool {
    if one.eq_ignore_ascii_case(other) {
        return true;
    }
    let ((host, port), (other_host, other_port)) = (parts(one, scheme), parts(other, scheme));
    host.eq_ignore_ascii_case(other_host) && port == other_port
}

/// The host without a trailing dot, and the port, empty if unknown.
fn parts<'a>(authority: &'a [u8], scheme: Option<&[u8]>) -> (&'a [u8], &'a [u8]) {
    let usual: &[u8] = match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => b"80",
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => b"443",
        _ => b"",
    };
    let (host, port) = match split(authority) {
        (host, b"") => (host, usual),
        parts => parts,
    };
    (host.strip_suffix(b".").unwrap_or(host), port)
}

/// The host and the port's digits without leading zeros.
fn split(authority: &[u8]) -> (&[u8], &[u8]) {
    let at = authority.iter().rposition(|byte| !byte.is_ascii_digit());
    let Some((host, [b':', port @ ..])) = at.and_then(|at| authority.split_at_checked(at)) else {
        return (authority, b"");
    };
    // The colons of an unbracketed IPv6 address separate no port.
    if host.contains(&b':') && !host.ends_with(b"]") {
        return (authority, b"");
    }
    let zeros = port.iter().take_while(|digit| **digit == b'0').count();
    (host, port.get(zeros..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_the_same_host_and_port_is_the_same() {
        for (one, other, scheme) in [
            ("shop.example", "SHOP.example", None),
            ("shop.example", "shop.example:80", Some("http")),
            ("shop.example:", "shop.example", Some("http")),
            ("shop.example:443", "Shop.Example.", Some("HTTPS")),
            ("shop.example.:8080", "shop.example:08080", Some("http")),
            ("shop.example.", "shop.example", None),
            ("[::1]", "[::1]:80", Some("http")),
            ("10.0.0.1:443", "10.0.0.1", Some("https")),
            ("localhost", "localhost.:", None),
        ] {
            let scheme = scheme.map(str::as_bytes);
            assert!(same(one.as_bytes(), other.as_bytes(), scheme), "{one} {other}");
            assert!(same(other.as_bytes(), one.as_bytes(), scheme), "{other} {one}");
        }
    }

    #[test]
    fn what_names_another_is_not() {
        for (one, other, scheme) in [
            ("shop.example", "shop.example:443", Some("http")),
            ("shop.example", "shop.example:80", Some("https")),
            ("shop.example", "shop.example:80", None),
            ("shop.example:8080", "shop.example", Some("http")),
            ("shop.example:8080", "shop.example:80", Some("http")),
            ("shop.example", "a.shop.example", Some("http")),
            ("shop.example", "shop.example..", Some("http")),
            ("shop.example", "shop.example:80:80", Some("http")),
            ("[::1]", "[::2]:80", Some("http")),
            ("::1:80", "::1", Some("http")),
            ("shop.example", "", Some("http")),
            ("shop.example", "shop.example80", Some("http")),
            ("shop.example", "shop.example:x80", Some("http")),
        ] {
            let scheme = scheme.map(str::as_bytes);
            assert!(!same(one.as_bytes(), other.as_bytes(), scheme), "{one} {other}");
        }
    }
}
