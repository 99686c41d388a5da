//! Revocation lists (CRLs): read from PEM or DER, and held against the authorities.

use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::X509Name;

use super::certificates::shown;
use super::keys::MissingLists;
use crate::model::Certificate;

type Finding = (String, &'static str);

/// A list that was read.
#[derive(Debug)]
pub struct RevocationList {
    /// In DER.
    pub der: CertificateRevocationListDer<'static>,
    /// The name of its issuer in DER.
    issuer: Box<[u8]>,
    issuer_name: String,
    /// From when it holds, and until when, in Unix seconds.
    this_update: i64,
    next_update: Option<i64>,
}

/// Reads the lists of a file: PEM with one or several, or one in DER.
///
/// # Errors
/// What is wrong with the file, and what to do.
pub fn read(file: &str, content: &[u8]) -> Result<Vec<RevocationList>, Finding> {
    const HELP: &str = "`openssl crl -in FILE -text` shows what it holds";
    let broken = |error: String| (format!("{file} is no revocation list: {error}"), HELP);
    if content.first() == Some(&0x30) {
        return Ok(vec![parse(content.to_vec().into()).map_err(broken)?]);
    }
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(content).collect();
    let lists = lists.map_err(|error| broken(error.to_string()))?;
    if lists.is_empty() {
        let help = "it has to hold `-----BEGIN X509 CRL-----` blocks, or one list in DER";
        return Err((format!("{file} holds no revocation list"), help));
    }
    lists.into_iter().map(|list| parse(list).map_err(broken)).collect()
}

fn parse(der: CertificateRevocationListDer<'static>) -> Result<RevocationList, String> {
    let (issuer, issuer_name, this_update, next_update) = {
        let (_, list) =
            CertificateRevocationList::from_der(&der).map_err(|error| error.to_string())?;
        let issuer = list.issuer();
        let next = list.next_update().map(|time| time.timestamp());
        let name = shown(&issuer.to_string());
        (Box::from(issuer.as_raw()), name, list.last_update().timestamp(), next)
    };
    Ok(RevocationList { der, issuer, issuer_name, this_update, next_update })
}

impl RevocationList {
    fn is_of(&self, subject: &[u8]) -> bool {
        // The trust anchor has the name without its outermost tag and length.
        let outer = self.issuer.strip_suffix(subject);
        outer.is_some_and(|outer| (2..=4).contains(&outer.len()))
    }

    /// Its validity, for the metric and the daily check.
    pub fn validity(&self, file: &str) -> Option<Certificate> {
        Some(Certificate {
            file: file.into(),
            subject: self.issuer_name.clone(),
            not_before: self.this_update,
            not_after: self.next_update?,
            is_list: true,
        })
    }

    /// What is odd about it at Unix time `now`.
    pub fn warnings(&self, file: &str, roots: Option<&RootCertStore>, now: i64) -> Vec<Finding> {
        let mut warnings = Vec::new();
        let expired = self.validity(file).and_then(|list| list.validity_warning(now));
        let help = "fetch the newest from the authority: no restart is needed";
        warnings.extend(expired.map(|warning| (warning, help)));
        if roots.is_some_and(|roots| !roots.roots.iter().any(|root| self.is_of(&root.subject))) {
            let message = format!(
                "the revocation list in {file} is of `{}`, which is none of the authorities",
                self.issuer_name
            );
            let help = "it has an effect on certificates only that come by way of that one";
            warnings.push((message, help));
        }
        warnings
    }
}

/// Authorities that no list is of, about which this is done.
pub fn missing(
    lists: &[RevocationList],
    roots: &RootCertStore,
    treatment: MissingLists,
) -> Vec<Finding> {
    let without =
        roots.roots.iter().filter(|root| !lists.iter().any(|list| list.is_of(&root.subject)));
    let warning = |subject: &[u8]| {
        let message = format!("there is no revocation list of the authority `{}`", name(subject));
        let help = match treatment {
            MissingLists::Refuse => {
                "all whom it has certified are refused: name its list too, or set `missing_crls: accept`"
            }
            MissingLists::Accept => "whom it has revoked is let in: name its list too",
        };
        (message, help)
    };
    without.map(|root| warning(&root.subject)).collect()
}

/// The name of a trust anchor, for people.
fn name(subject: &[u8]) -> String {
    let length = subject.len();
    let mut der = vec![0x30];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => der.push(short),
        _ => {
            der.push(0x82);
            der.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    der.extend_from_slice(subject);
    X509Name::from_der(&der).map_or_else(|_| "?".into(), |(_, name)| shown(&name.to_string()))
}
