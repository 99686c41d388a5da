//! A client's certificate, read once a connection, and how it is told to backends:
//! `x-forwarded-client-cert`, in Envoy's form.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::model::{CertificateField, Sans};

/// What is told of one certificate has at most this many bytes; `Chain` and then `Cert` are left out
/// if it would be more.
const MAX_ELEMENT: usize = 16 << 10;

/// The certificate that a client has shown.
#[derive(Debug)]
pub struct ClientCertificate {
    /// Whom it is for.
    pub sans: Sans,
    /// The element of `x-forwarded-client-cert`; empty if backends are not told.
    pub element: Box<[u8]>,
}

impl ClientCertificate {
    /// Reads the first certificate of a verified `chain`; backends are told `fields`, if any, and that
    /// it was shown to `by`. `None` if it has expired by `now`, in Unix seconds: a resumed session may
    /// be older.
    pub fn read(
        chain: &[CertificateDer<'_>],
        fields: &[CertificateField],
        by: Option<&str>,
        now: i64,
    ) -> Option<ClientCertificate> {
        let leaf = chain.first()?;
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        if certificate.validity().not_after.timestamp() < now {
            return None;
        }
        let sans = Sans::of_certificate(&certificate);
        let element = match fields {
            [] => String::new(),
            fields => {
                let subject = rfc2253(certificate.subject());
                element(chain, fields, &subject, &sans, by)
            }
        };
        Some(ClientCertificate { sans, element: element.into_bytes().into() })
    }
}

/// One element: By and Hash, then the fields in Envoy's order.
fn element(
    chain: &[CertificateDer<'_>],
    fields: &[CertificateField],
    subject: &str,
    sans: &Sans,
    by: Option<&str>,
) -> String {
    let mut element = String::new();
    if let Some(by) = by {
        let _ = write!(element, "By={};", quoted(by)); // to a string
    }
    element.push_str("Hash=");
    for byte in digest(&SHA256, chain.first().map_or(&[][..], |leaf| leaf)).as_ref() {
        let _ = write!(element, "{byte:02x}");
    }
    let mut rest = String::new();
    if fields.contains(&CertificateField::Subject) {
        let _ = write!(rest, ";Subject=\"{subject}\"");
    }
    if let Some(sans) = sans.plain() {
        let uris = sans.uris.iter().filter(|_| fields.contains(&CertificateField::Uri));
        uris.for_each(|uri| _ = write!(rest, ";URI={}", quoted(uri)));
        let names = sans.dns.iter().filter(|_| fields.contains(&CertificateField::Dns));
        names.for_each(|name| _ = write!(rest, ";DNS={}", quoted(name)));
    }
    if element.len() + rest.len() > MAX_ELEMENT {
        rest.clear(); // the hash tells it from others
    }
    let parts = [
        (CertificateField::Cert, "Cert", chain.get(..1).unwrap_or_default()),
        (CertificateField::Chain, "Chain", chain),
    ];
    for (field, name, certificates) in parts {
        if fields.contains(&field) {
            let part = format!(";{name}=\"{}\"", pem(certificates));
            if element.len() + part.len() + rest.len() <= MAX_ELEMENT {
                element += &part;
            }
        }
    }
    element + &rest
}

/// Quotes what would end the value: the characters are those of a SAN, so graphic ASCII.
fn quoted(value: &str) -> String {
    match value.contains([',', ';', '=', '"', '\\']) {
        true => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
        false => value.to_owned(),
    }
}

/// PEM, with what has a meaning in the field in percent-encoding.
fn pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut pem = String::new();
    for certificate in certificates {
        pem += "-----BEGIN%20CERTIFICATE-----%0A";
        let text = STANDARD.encode(certificate);
        for line in text.as_bytes().chunks(64) {
            for byte in line {
                match byte {
                    b'+' => pem += "%2B",
                    b'/' => pem += "%2F",
                    b'=' => pem += "%3D",
                    byte => pem.push(char::from(*byte)),
                }
            }
            pem += "%0A";
        }
        pem += "-----END%20CERTIFICATE-----%0A";
    }
    pem
}

/// A name by RFC 2253, the most significant part last. Whatever is not graphic ASCII is escaped, so
/// that it can stand within quotes.
fn rfc2253(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let parts = parts.iter().rev().map(|part| {
        let attributes: Vec<String> = part.iter().map(attribute).collect();
        attributes.join("+")
    });
    parts.collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = match oid2abbrev(attribute.attr_type(), oid_registry()) {
        Ok(short) => short.to_owned(),
        Err(_) => attribute.attr_type().to_id_string(),
    };
    let value = match attribute.as_str() {
        Ok(value) => escaped(value.as_bytes()),
        Err(_) => {
            let bytes = attribute.as_slice().iter().map(|byte| format!("{byte:02X}"));
            format!("#{}", bytes.collect::<String>())
        }
    };
    format!("{kind}={value}")
}

fn escaped(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for (index, byte) in value.iter().enumerate() {
        let edge = index == 0 || index + 1 == value.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b'#' if index == 0 => text += "\\#",
            b' ' if edge => text += "\\ ",
            b' '..=b'~' => text.push(char::from(*byte)),
            byte => _ = write!(text, "\\{byte:02X}"), // to a string
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(uris: &[&str], dns: &[&str], common: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Shop, Inc");
        params.distinguished_name.push(DnType::CommonName, common);
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        let dns = dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
        params.subject_alt_names = uris.chain(dns).collect();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn told(chain: &[CertificateDer<'_>], fields: &[CertificateField], by: Option<&str>) -> String {
        let read = ClientCertificate::read(chain, fields, by, 0).unwrap();
        String::from_utf8(read.element.to_vec()).unwrap()
    }

    const ALL: [CertificateField; 5] = [
        CertificateField::Subject,
        CertificateField::Uri,
        CertificateField::Dns,
        CertificateField::Cert,
        CertificateField::Chain,
    ];

    #[test]
    fn the_fields_are_in_the_form_of_envoy() {
        let der = certificate(&["spiffe://shop/web"], &["a.test", "b.test"], "web");
        let hash: String =
            digest(&SHA256, &der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let chain = [der];
        assert_eq!(told(&chain, &[], None), "");
        assert_eq!(told(&chain, &[CertificateField::Hash], None), format!("Hash={hash}"));
        assert_eq!(
            told(&chain, &ALL[..3], Some("spiffe://shop/gateway")),
            format!(
                "By=spiffe://shop/gateway;Hash={hash};Subject=\"CN=web,O=Shop\\, Inc\";\
                 URI=spiffe://shop/web;DNS=a.test;DNS=b.test"
            )
        );
        let whole = told(&chain, &ALL, None);
        assert!(whole.contains(";Cert=\"-----BEGIN%20CERTIFICATE-----%0AMII"), "{whole}");
        assert!(whole.contains("%0A-----END%20CERTIFICATE-----%0A\";Chain=\""), "{whole}");
        let many = vec![chain[0].clone(); 40];
        let told = told(&many, &ALL, None);
        assert!(told.contains("Cert=") && !told.contains("Chain=") && told.len() <= MAX_ELEMENT);
        assert!(ClientCertificate::read(&chain, &ALL, None, i64::MAX).is_none(), "it has expired");
    }

    #[test]
    fn what_would_end_a_value_is_quoted() {
        let der = certificate(&["http://a/?b=\"c\";d,e"], &[], "a\";By=x,\\");
        let told = told(&[der], &ALL[..3], Some("urn:a=b"));
        assert!(told.starts_with("By=\"urn:a=b\";"), "{told}");
        assert!(told.contains("Subject=\"CN=a\\\"\\;By=x\\,\\\\,O=Shop\\, Inc\""), "{told}");
        assert!(told.ends_with("URI=\"http://a/?b=\\\"c\\\";d,e\""), "{told}");
    }

    /// The fields of an element, by the rules of a quoted string.
    fn fields(element: &str) -> Vec<String> {
        let (mut fields, mut quoted, mut escaped) = (vec![String::new()], false, false);
        for c in element.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ';' | ',' if !quoted => {
                    fields.push(String::new());
                    continue;
                }
                _ => {}
            }
            fields.last_mut().unwrap().push(c);
        }
        assert!(!quoted && !escaped);
        fields
    }

    proptest! {
        #[test]
        fn whatever_a_certificate_says_adds_no_field(common in "\\PC{0,40}|[\"\\\\;,= \\x00-\\x1f]{0,20}") {
            let der = certificate(&["spiffe://shop/web"], &["a.test"], &common);
            let told = told(&[der], &ALL[..3], None);
            prop_assert!(told.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let fields = fields(&told);
            prop_assert_eq!(fields.len(), 4, "{}", told);
            prop_assert_eq!(&*fields[2], "URI=spiffe://shop/web");
        }
    }
}
