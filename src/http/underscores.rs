//! Header fields with underscores in their names. Servers behind CGI, WSGI and the like read `_` as
//! `-`, so `x_forwarded_for` reaches them as the field that only proxies may set.

use super::{Headers, Name};

/// What a listener does with such fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// They are forwarded.
    #[default]
    Pass,
    /// They are taken out of the request.
    Drop,
    /// The request is refused.
    Refuse,
}

/// Names longer than that are none that anybody knows.
const LONGEST: usize = 64;

/// Whether `name` may be read as another one's. Metadata of gRPC may have underscores, and its
/// libraries tell them from dashes; so of gRPC it is only names that would be a field on which the
/// gateway or a proxy decides.
pub fn is_doubtful(name: &[u8], grpc: bool) -> bool {
    memchr::memchr(b'_', name).is_some() && (!grpc || poses(name))
}

/// Whether a request has such a field.
pub fn any_doubtful(headers: &Headers, grpc: bool) -> bool {
    headers.iter().any(|field| field.id == Name::Other && is_doubtful(field.name, grpc))
}

/// Whether the name, with dashes, is one that decides anything.
fn poses(name: &[u8]) -> bool {
    let mut copy = [0; LONGEST];
    let Some(dashed) = copy.get_mut(..name.len()) else { return false };
    for (to, &byte) in dashed.iter_mut().zip(name) {
        *to = if byte == b'_' { b'-' } else { byte };
    }
    let dashed = &*dashed;
    match Name::of(dashed) {
        // Applications use these as they like.
        Name::UserAgent | Name::AcceptEncoding | Name::XRequestId => false,
        Name::Other => {
            dashed.starts_with(b"x-forwarded-")
                || matches!(dashed, b"x-real-ip" | b"x-envoy-external-address" | b"true-client-ip")
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_has_none_and_grpc_its_own() {
        for (name, http, grpc) in [
            ("x-forwarded-for", false, false),
            ("x_forwarded_for", true, true),
            ("x-forwarded_for", true, true),
            ("x_forwarded_client_cert", true, true),
            ("x_real_ip", true, true),
            ("content_length", true, true),
            ("grpc_timeout", true, true),
            ("tenant_id", true, false),
            ("x_request_id", true, false),
            ("_", true, false),
        ] {
            assert_eq!(is_doubtful(name.as_bytes(), false), http, "{name}");
            assert_eq!(is_doubtful(name.as_bytes(), true), grpc, "{name}");
        }
        assert!(!is_doubtful(&[b'_'; 200], true));
    }
}
