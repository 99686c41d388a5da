//! Warnings about certificates that do not suit their purpose.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use crate::model::Certificate;

/// Files with more CA certificates are system bundles. Some of theirs are always about to expire,
/// so a bundle counts as one certificate that expires with its last.
const MAX_SEPARATE: usize = 16;

/// Subjects are truncated to this length.
const MAX_SUBJECT: usize = 128;

const RENEW: &str = "put one that is valid into the file: no restart is needed";

/// The purpose of a file's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The server certificate shown to clients.
    Server,
    /// The client certificate shown to backends.
    Client,
    /// CAs that clients' certificates are verified against.
    ClientCa,
    /// CAs that backends' certificates are verified against.
    BackendCa,
}

impl Purpose {
    fn is_authority(self) -> bool {
        matches!(self, Purpose::ClientCa | Purpose::BackendCa)
    }
}

/// The result of inspecting a file.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Its certificates.
    pub certificates: Vec<Certificate>,
    /// Warnings, each with a hint.
    pub warnings: Vec<(String, &'static str)>,
}

/// Inspects the certificates of `file`, used for `as_what`, at Unix time `now`.
pub fn inspect(file: &str, ders: &[CertificateDer<'_>], as_what: Purpose, now: i64) -> Inspection {
    let mut found = Inspection::default();
    let mut parsed = Vec::with_capacity(ders.len());
    for (index, der) in ders.iter().enumerate() {
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => parsed.push(certificate),
            Err(error) => {
                let message = format!("certificate {} of {file} is broken: {error}", index + 1);
                found.warnings.push((message, "make the file anew"));
            }
        }
    }
    let described = parsed.iter().map(|certificate| describe(file, certificate));
    found.certificates = described.collect();
    if as_what.is_authority() {
        if parsed.len() > MAX_SEPARATE {
            found.certificates = bundle(file, &found.certificates).into_iter().collect();
        } else {
            found
                .warnings
                .extend(parsed.iter().filter_map(|ca| not_an_authority(file, ca, as_what)));
        }
    } else {
        found.warnings.extend(out_of_order(file, &parsed));
        found.warnings.extend(parsed.first().and_then(|leaf| unfit(file, leaf, as_what)));
    }
    let expiring =
        found.certificates.iter().filter_map(|certificate| certificate.validity_warning(now));
    found.warnings.extend(expiring.map(|warning| (warning, RENEW)));
    found
}

fn describe(file: &str, certificate: &X509Certificate<'_>) -> Certificate {
    let validity = certificate.validity();
    Certificate {
        file: file.into(),
        subject: name(certificate),
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
        is_list: false,
    }
}

fn bundle(file: &str, certificates: &[Certificate]) -> Option<Certificate> {
    Some(Certificate {
        file: file.into(),
        subject: format!("bundle of {}", certificates.len()),
        not_before: certificates.iter().map(|certificate| certificate.not_before).min()?,
        not_after: certificates.iter().map(|certificate| certificate.not_after).max()?,
        is_list: false,
    })
}

/// The subject, or the first alternative name if there is no subject.
fn name(certificate: &X509Certificate<'_>) -> String {
    let subject = certificate.subject().to_string();
    let other = || {
        let names = certificate.subject_alternative_name().ok().flatten()?;
        names.value.general_names.iter().find_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some(String::from(*name)),
            _ => None,
        })
    };
    let name = if subject.is_empty() { other().unwrap_or_default() } else { subject };
    shown(&name)
}

/// A name as it is shown.
pub fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_SUBJECT).collect()
}

type Warning = (String, &'static str);

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

/// Accepts a backend's self-signed certificate that is its own CA, and v1 roots, which lack the CA
/// extension.
fn not_an_authority(file: &str, ca: &X509Certificate<'_>, as_what: Purpose) -> Option<Warning> {
    let stands_for_itself = as_what == Purpose::BackendCa || ca.version() == X509Version::V1;
    if ca.is_ca() || (is_self_issued(ca) && stands_for_itself) {
        return None;
    }
    let name = name(ca);
    let message = format!("the certificate `{name}` in {file} is not an authority's");
    Some((message, "no certificate that it signs is valid: name that of who signed it"))
}

/// Checks that each certificate was issued by the next one.
fn out_of_order(file: &str, chain: &[X509Certificate<'_>]) -> Option<Warning> {
    let pairs = chain.iter().zip(chain.iter().skip(1));
    let mut wrong = pairs.filter(|(one, next)| one.issuer().as_raw() != next.subject().as_raw());
    let (one, next) = wrong.next()?;
    let (one, next) = (name(one), name(next));
    let message = format!("in {file} `{one}` is followed by `{next}`, which did not issue it");
    Some((message, "the order is the certificate, its issuer, the issuer of that one"))
}

/// Why the peer would reject the certificate.
fn unfit(file: &str, leaf: &X509Certificate<'_>, as_what: Purpose) -> Option<Warning> {
    let named = leaf.subject_alternative_name().is_ok_and(|names| names.is_some());
    let usage = leaf.extended_key_usage().ok().flatten().map(|usage| usage.value);
    let (wanted, fits) = match as_what {
        Purpose::Server => ("servers", usage.is_none_or(|usage| usage.any || usage.server_auth)),
        _ => ("clients", usage.is_none_or(|usage| usage.any || usage.client_auth)),
    };
    let name = name(leaf);
    if !fits {
        let message = format!("the certificate `{name}` in {file} is not meant for {wanted}");
        return Some((message, "its extended key usage has to say so: the other side refuses it"));
    }
    (as_what == Purpose::Server && !named).then(|| {
        let message = format!("the certificate `{name}` in {file} has no subjectAltName");
        (message, "clients look for the host there, and refuse it")
    })
}
