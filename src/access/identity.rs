//! Who a caller is, by what it has proved.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

/// Maximum length of a name that is taken from a certificate.
const MAX_NAME: usize = 2048;

/// Who a caller is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A process of this machine that came by the Unix socket, as this user.
    User(u32),
    /// The SPIFFE ID of a client certificate.
    Spiffe(Arc<str>),
    /// The DNS name of a client certificate.
    Dns(Arc<str>),
    /// The holder of a token of this name.
    Token(Arc<str>),
    /// Somebody on this machine who has proved nothing, where that is still enough.
    Loopback,
}

/// As rules name it: `uid:0`, `spiffe://prod/ops`, `dns:ops.example`, `token:ci`, `loopback`.
impl Display for Identity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Identity::User(uid) => write!(f, "uid:{uid}"),
            Identity::Spiffe(id) => f.write_str(id),
            Identity::Dns(name) => write!(f, "dns:{name}"),
            Identity::Token(name) => write!(f, "token:{name}"),
            Identity::Loopback => f.write_str("loopback"),
        }
    }
}

/// The names that a certificate has among its subjectAltNames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// URIs.
    pub uris: Vec<String>,
    /// DNS names.
    pub dns: Vec<String>,
}

/// Why a certificate that is valid tells nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    /// It has several URIs, of which SPIFFE allows one.
    #[error("the client certificate has several URIs, and SPIFFE allows one")]
    SeveralUris,
    /// Its URI is no SPIFFE ID.
    #[error(
        "the URI of the client certificate is no SPIFFE ID, such as spiffe://prod/ns/ops/sa/ci"
    )]
    NotSpiffe,
    /// It has several DNS names: which one is meant is not for the gateway to guess.
    #[error("the client certificate has several DNS names and no SPIFFE ID: it has to have one")]
    SeveralNames,
    /// It has a name that is none.
    #[error("the DNS name of the client certificate is no host name")]
    NotDns,
    /// It has neither.
    #[error(
        "the client certificate has neither a SPIFFE ID nor a DNS name among its subjectAltNames"
    )]
    Nameless,
}

impl Identity {
    /// Whom a certificate with these names is for: the one URI, or else the one DNS name.
    ///
    /// # Errors
    /// Why it tells nobody.
    pub fn of_certificate(names: &CertificateNames) -> Result<Identity, Unidentified> {
        match &*names.uris {
            [uri] if is_spiffe(uri) => return Ok(Identity::Spiffe(uri.as_str().into())),
            [_] => return Err(Unidentified::NotSpiffe),
            [] => {}
            _ => return Err(Unidentified::SeveralUris),
        }
        match &*names.dns {
            [name] if is_host(name) => Ok(Identity::Dns(name.to_ascii_lowercase().into())),
            [_] => Err(Unidentified::NotDns),
            [] => Err(Unidentified::Nameless),
            _ => Err(Unidentified::SeveralNames),
        }
    }
}

/// Whether it is a SPIFFE ID by the specification: a trust domain, and a path of plain segments.
fn is_spiffe(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("spiffe://") else { return false };
    let (domain, path) = match rest.split_once('/') {
        Some((domain, path)) => (domain, Some(path)),
        None => (rest, None),
    };
    let of_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    let of_path = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(of_path);
    uri.len() <= MAX_NAME
        && (1..=255).contains(&domain.len())
        && domain.bytes().all(of_domain)
        && path.is_none_or(|path| path.split('/').all(segment))
}

/// Whether it is the name of one host: a pattern such as `*.example` is nobody in particular.
fn is_host(name: &str) -> bool {
    let of_label = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(of_label);
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_tells_one_name_or_nobody() {
        let of = |uris: &[&str], dns: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            Identity::of_certificate(&CertificateNames { uris: owned(uris), dns: owned(dns) })
                .map(|identity| identity.to_string())
        };
        let ops = "spiffe://prod/ns/ops/sa/ci";
        assert_eq!(of(&[ops], &["a.example"]), Ok(ops.into()));
        assert_eq!(of(&["spiffe://prod"], &[]), Ok("spiffe://prod".into()));
        assert_eq!(of(&[], &["Ops.Example"]), Ok("dns:ops.example".into()));
        assert_eq!(of(&[ops, ops], &[]), Err(Unidentified::SeveralUris));
        assert_eq!(of(&[], &["a.example", "b.example"]), Err(Unidentified::SeveralNames));
        assert_eq!(of(&[], &[]), Err(Unidentified::Nameless));
        for wrong in [
            "https://prod/ops",
            "spiffe:///ops",
            "spiffe://",
            "spiffe://prod/",
            "spiffe://prod//ops",
            "spiffe://prod/../ops",
            "spiffe://prod/o%70s",
            "spiffe://prod/ops?x",
            "spiffe://prod/ops#x",
            "spiffe://prod:8080/ops",
            "spiffe://me@prod/ops",
            "spiffe://Prod/ops",
            "spiffe://prod/\0ops",
            &format!("spiffe://prod/{}", "x".repeat(MAX_NAME)),
        ] {
            assert_eq!(of(&[wrong], &["a.example"]), Err(Unidentified::NotSpiffe), "{wrong}");
        }
        for wrong in ["*.example", "", "a..b", "a.example\0.evil", "a b"] {
            assert_eq!(of(&[], &[wrong]), Err(Unidentified::NotDns), "{wrong}");
        }
    }
}
