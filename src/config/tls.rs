//! Reads a service's `tls`, and what it shares with that of listeners.

use std::sync::Arc;

use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateRevocationListDer, ServerName};
use rustls::{ClientConfig, Error, InconsistentKeys, RootCertStore};

use super::certificates::Purpose;
use super::files::Files;
use super::keys::{CLIENT_TLS, ExpiredLists, MissingLists};
use super::node::{Node, Value};
use super::pem::Pem;
use super::read::{Fields, text};
use super::report::{Problems, Span};
use crate::model::SanPattern;
use crate::upstream::{self, SpiffeVerifier};

/// Reads a service's `tls`.
pub fn client(
    node: &Node,
    version: upstream::Version,
    files: &Files,
    problems: &Problems,
) -> Option<upstream::Tls> {
    let fields = Fields::of(node, &CLIENT_TLS, problems);
    let pem = Pem::new(files, problems);
    let ca = fields.get(&CLIENT_TLS.ca);
    let cert = fields.get(&CLIENT_TLS.cert);
    let key = fields.get(&CLIENT_TLS.key);
    let server_name = fields.optional(&CLIENT_TLS.server_name);
    if let (Some(lone), None) | (None, Some(lone)) = (cert, key) {
        let help = "give both, or neither if the backends ask for no client certificate";
        problems.error(lone.span, "`cert` and `key` belong together", help);
    }
    let spiffe = fields.optional(&CLIENT_TLS.spiffe);
    let expired = fields.value(&CLIENT_TLS.expired_crls);
    let missing = fields.value(&CLIENT_TLS.missing_crls);
    let roots = ca.and_then(|node| {
        let roots = match is_system(node) {
            true => pem.system_roots(node),
            false => pem.roots(node, Purpose::BackendCa),
        };
        let lists = fields.items(&CLIENT_TLS.crls);
        let known = roots.as_deref().filter(|_| !is_system(node)); // they are not warned of one by one
        if let (true, Some(list), MissingLists::Refuse) = (is_system(node), lists.first(), missing)
        {
            let message = "backends are refused that an authority without a list has certified";
            let help = "of the system's few have one here: `missing_crls: accept` takes the others";
            problems.warn(list.span, message, help);
        }
        let lists = pem.revocation_lists(lists, known, missing);
        Some((roots?, lists?, node.span))
    });
    let wanted = cert.is_some() && key.is_some();
    let identity = pem.identity(cert.filter(|_| wanted), key.filter(|_| wanted), Purpose::Client);
    fields.finish();

    let (roots, lists, span) = roots?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| problems.error(node.span, error.to_string(), ""))
        .ok()?;
    let verifier = verifier(roots, lists, (expired, missing));
    let verifier =
        verifier.map_err(|error| reject(problems, span, "as authority of backends", error)).ok()?;
    let fingerprint = pem.fingerprint((
        version.alpn(),
        spiffe.as_ref().map(ToString::to_string),
        [expired as u8, missing as u8],
    ));
    let builder = match spiffe {
        None => builder.with_webpki_verifier(verifier),
        Some(id) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(SpiffeVerifier::new(verifier, id))),
    };
    let mut config = match identity {
        None if wanted => return None,
        None => builder.with_no_client_auth(),
        Some((chain, private, span)) => builder
            .with_client_auth_cert(chain, private)
            .map_err(|error| refuse_pair(problems, span, error, None))
            .ok()?,
    };
    config.alpn_protocols = vec![version.alpn().to_vec()];
    Some(upstream::Tls { config: Arc::new(config), server_name, fingerprint })
}

/// Verifies by `roots`, and by `lists` if there are any.
fn verifier(
    roots: Arc<RootCertStore>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    (expired, missing): (ExpiredLists, MissingLists),
) -> Result<Arc<WebPkiServerVerifier>, VerifierBuilderError> {
    let mut verifier = WebPkiServerVerifier::builder_with_provider(roots, provider());
    if !lists.is_empty() {
        verifier = verifier.with_crls(lists);
        if missing == MissingLists::Accept {
            verifier = verifier.allow_unknown_revocation_status();
        }
        if expired == ExpiredLists::Refuse {
            verifier = verifier.enforce_revocation_expiration();
        }
    }
    verifier.build()
}

/// Whether `ca` stands for the authorities of the system, not for a file.
fn is_system(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(text) if &**text == "system")
}

/// Parses a SPIFFE id, or all below one.
pub fn spiffe(text: &str) -> Result<SanPattern, String> {
    match SanPattern::parse(text) {
        Ok(id) if text.starts_with("spiffe://") => Ok(id),
        _ => Err(format!(
            "`{}` is no SPIFFE id: write spiffe://shop/orders, or spiffe://shop/*",
            text.escape_debug()
        )),
    }
}

/// Parses the name that backends' certificates are verified for.
pub fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text(name)?).map_err(|_| {
        format!("`{name}` is neither a DNS name nor an IP address: write orders.internal")
    })
}

/// The cryptography of TLS.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Reports files that do not belong together.
pub fn reject(problems: &Problems, span: Span, what: &str, error: impl std::fmt::Display) {
    let message = format!("cannot be used {what}: {error}");
    problems.error(span, message, "check that the files belong together");
}

/// Reports why a certificate and a key cannot be used together, at the key's location; `own` is the
/// index of the certificate in the chain that the key is for, if known.
pub fn refuse_pair(problems: &Problems, span: Span, error: Error, own: Option<usize>) {
    if error != Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
        return reject(problems, span, "with this certificate", error);
    }
    let message = "the key is not that of the first certificate in `cert`";
    match own {
        None => {
            let help =
                "name the key that it was made with; in a file of several its own comes first";
            problems.error(span, message, help);
        }
        Some(own) => {
            let message = format!("{message}, but of number {}: the order is wrong", own + 1);
            let help = "the order is the certificate, its issuer, the issuer of that one";
            problems.error(span, message, help);
        }
    }
}
