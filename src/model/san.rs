//! Whom a certificate is for: its subjectAltNames, and patterns for them.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The subjectAltNames of a certificate that identify a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sans {
    /// Its URIs.
    pub uris: Box<[Box<str>]>,
    /// Its DNS names.
    pub dns: Box<[Box<str>]>,
    /// Whether one has characters that no name has, such as NUL, which others may read differently.
    odd: bool,
}

impl Sans {
    /// Those of a certificate in DER.
    pub fn of(der: &[u8]) -> Sans {
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Sans::of_certificate(&certificate),
            Err(_) => Sans { odd: true, ..Sans::default() },
        }
    }

    /// Those of a certificate.
    pub fn of_certificate(certificate: &X509Certificate<'_>) -> Sans {
        let mut sans = Sans::default();
        let (mut uris, mut dns) = (Vec::new(), Vec::new());
        match certificate.subject_alternative_name() {
            Ok(None) => {}
            Ok(Some(names)) => {
                for name in &names.value.general_names {
                    let (list, name) = match name {
                        GeneralName::URI(name) => (&mut uris, *name),
                        GeneralName::DNSName(name) => (&mut dns, *name),
                        GeneralName::Invalid(..) => {
                            sans.odd = true;
                            continue;
                        }
                        _ => continue,
                    };
                    sans.odd |= !name.bytes().all(|byte| byte.is_ascii_graphic());
                    list.push(Box::from(name));
                }
            }
            Err(_) => sans.odd = true,
        }
        sans.uris = uris.into();
        sans.dns = dns.into();
        sans
    }

    /// The one URI, as SPIFFE wants it.
    pub fn only_uri(&self) -> Option<&str> {
        match &*self.uris {
            [uri] if !self.odd => Some(uri),
            _ => None,
        }
    }

    /// The names, unless one is odd.
    pub fn plain(&self) -> Option<&Sans> {
        (!self.odd).then_some(self)
    }

    /// Whether one of `patterns` is for it; with no pattern everybody is.
    pub fn is_one_of(&self, patterns: &[SanPattern]) -> bool {
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(self))
    }
}

/// Which certificates are meant: by a URI, or by a DNS name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SanPattern {
    /// This URI, the only one of the certificate.
    Uri(Box<str>),
    /// A URI that begins so, the only one of the certificate.
    UriBelow(Box<str>),
    /// This DNS name, in lower case.
    Dns(Box<str>),
    /// DNS names with one label before this, which begins with a dot.
    DnsBelow(Box<str>),
}

impl SanPattern {
    /// Parses `spiffe://shop/web`, `spiffe://shop/*`, `web.shop.example` or `*.shop.example`.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    pub fn parse(text: &str) -> Result<SanPattern, String> {
        let wrong = |what: &str| Err(format!("`{}` {what}", text.escape_debug()));
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.is_empty() {
            return wrong(
                "is no name of a certificate: write spiffe://shop/web or web.shop.example",
            );
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let (begin, star) = match text.strip_suffix("/*") {
                Some(begin) => (begin, true),
                None => (text, false),
            };
            let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
            let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(of_scheme);
            if !is_scheme || rest.is_empty() || rest.starts_with('/') {
                return wrong("is no URI: write spiffe://shop/web");
            }
            return match begin.contains('*') {
                true => wrong("may have one `*`, after the last slash: write spiffe://shop/*"),
                false if star => Ok(SanPattern::UriBelow(format!("{begin}/").into())),
                false => Ok(SanPattern::Uri(text.into())),
            };
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.bytes().all(plain)
        };
        if !name.split('.').all(label) {
            return wrong(
                "is no DNS name: write web.shop.example, *.shop.example or spiffe://shop/web",
            );
        }
        let name = name.to_ascii_lowercase();
        Ok(match below {
            true => SanPattern::DnsBelow(format!(".{name}").into()),
            false => SanPattern::Dns(name.into()),
        })
    }

    fn matches(&self, sans: &Sans) -> bool {
        match self {
            SanPattern::Uri(uri) => sans.only_uri() == Some(uri),
            SanPattern::UriBelow(begin) => sans
                .only_uri()
                .is_some_and(|uri| uri.strip_prefix(&**begin).is_some_and(|rest| !rest.is_empty())),
            SanPattern::Dns(name) => sans.has_dns(|own| own.eq_ignore_ascii_case(name)),
            SanPattern::DnsBelow(end) => sans.has_dns(|own| {
                let Some(at) = own.find('.') else { return false };
                let label = own.get(..at).unwrap_or_default();
                let rest = own.get(at..).unwrap_or_default();
                !label.is_empty() && label != "*" && rest.eq_ignore_ascii_case(end)
            }),
        }
    }
}

impl Sans {
    fn has_dns(&self, fits: impl Fn(&str) -> bool) -> bool {
        !self.odd && self.dns.iter().any(|name| fits(name))
    }
}

/// As it is written.
impl std::fmt::Display for SanPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SanPattern::Uri(text) | SanPattern::Dns(text) => f.write_str(text),
            SanPattern::UriBelow(text) => write!(f, "{text}*"),
            SanPattern::DnsBelow(text) => write!(f, "*{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sans(uris: &[&str], dns: &[&str]) -> Sans {
        let boxed = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
        let names = uris.iter().chain(dns);
        let odd = !names.flat_map(|name| name.bytes()).all(|byte| byte.is_ascii_graphic());
        Sans { uris: boxed(uris), dns: boxed(dns), odd }
    }

    #[test]
    fn patterns_match_whole_names() {
        let web = "spiffe://shop/ns/web";
        for (pattern, uris, dns, fits) in [
            (web, &[web][..], &[][..], true),
            (web, &[web, "spiffe://shop/b"], &[], false),
            (web, &["spiffe://shop/ns/web/x"], &[], false),
            ("spiffe://shop/*", &[web], &[], true),
            ("spiffe://shop/ns/*", &[web], &[], true),
            ("spiffe://shop/ns/web/*", &[web], &[], false),
            ("spiffe://shop/*", &["spiffe://shopping/a"], &[], false),
            ("spiffe://shop/*", &["spiffe://shop/"], &[], false),
            ("spiffe://shop/*", &[], &["shop"], false),
            ("web.test", &[], &["a.test", "WEB.test"], true),
            ("web.test", &[], &["xweb.test"], false),
            ("*.test", &[], &["web.test"], true),
            ("*.test", &[], &["a.web.test"], false),
            ("*.test", &[], &["test", ".test", "*.test"], false),
            ("*.test", &[], &["web.test", "bad\0.test"], false),
            ("web.test", &["web.test"], &[], false),
        ] {
            let pattern = SanPattern::parse(pattern).unwrap();
            assert_eq!(
                sans(uris, dns).is_one_of(std::slice::from_ref(&pattern)),
                fits,
                "{pattern} {uris:?} {dns:?}"
            );
        }
        assert!(sans(&[], &[]).is_one_of(&[]));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let wrong = [
            "",
            "*",
            "a b",
            "spiffe://",
            "://a",
            "spiffe:///a",
            "spiffe://shop*",
            "spiffe://*/a",
            "a..b",
            "*.*.test",
            "web.*",
            "a/b",
            "spiffe://sh*p/*",
        ];
        for text in wrong {
            assert!(SanPattern::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_no_reason_to_panic(text in any::<String>(), der in any::<Vec<u8>>()) {
            if let Ok(pattern) = SanPattern::parse(&text) {
                prop_assert_eq!(pattern.to_string(), match pattern {
                    SanPattern::Uri(_) | SanPattern::UriBelow(_) => text,
                    _ => text.to_ascii_lowercase(),
                });
            }
            let _ = Sans::of(&der);
        }
    }
}
