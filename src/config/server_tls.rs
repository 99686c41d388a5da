//! Reads a listener's `tls`, and tries its files out.

use std::sync::Arc;

use rustls::crypto::ring::Ticketer;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use super::certificate_names::check_names;
use super::certificates::Purpose;
use super::files::Files;
use super::keys::{
    CERTIFICATE, ClientAuth, ExpiredLists, MissingLists, SERVER_TLS, TlsVersion, UnknownNames,
};
use super::node::Node;
use super::pem::Pem;
use super::read::Fields;
use super::report::{Problems, Span};
use super::tls::{provider, refuse_pair, reject};
use crate::model::Sans;
use crate::net::{Certificates, ClientTrust, ClientVerifier, ServerCertificate, ServerTls};
use crate::text::keys::Row;

/// Reads a listener's `tls`.
pub fn server(node: &Node, files: &Files, problems: &Problems) -> Option<ServerTls> {
    let mut fields = Fields::of(node, &SERVER_TLS, problems);
    let pem = Pem::new(files, problems);
    let trust = trust(node.span, &fields, &pem, problems);
    let certificates = certificates(&mut fields, &pem, problems);
    let unknown = fields.value(&SERVER_TLS.unknown_names) == UnknownNames::Refuse;
    let provider = chosen_suites(&fields);
    let versions = versions(fields.value(&SERVER_TLS.min_version));
    let alpn = fields.list(&SERVER_TLS.alpn);
    fields.finish();

    let builder = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .map_err(|error| {
            let help = "`suites` has to have one for each version from `min_version` on";
            problems.error(node.span, error.to_string(), help);
        })
        .ok()?;
    let (trust, verifier) = match trust {
        None => (None, WebPkiClientVerifier::no_client_auth()),
        Some(found) => {
            let (trust, span) = found?;
            let verifier = verifier(&trust, span, problems)?;
            (Some((trust, Arc::clone(&verifier))), verifier)
        }
    };
    let certificates = Arc::new(Certificates::new(certificates?, unknown));
    let resolver = Arc::clone(&certificates);
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
    config.alpn_protocols = match &*alpn {
        [] => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        some => some.iter().map(|alpn| alpn.0.into()).collect(),
    };
    // Session tickets: clients keep the sessions, so that memory stays bounded. Their keys are renewed
    // every 6 hours, and those before are good for 6 more.
    config.ticketer =
        Ticketer::new().map_err(|error| problems.error(node.span, error.to_string(), "")).ok()?;
    Some(ServerTls::new(config, certificates, trust))
}

/// A provider with the suites that are wanted, in the order of their strength.
fn chosen_suites(fields: &Fields<'_>) -> CryptoProvider {
    let mut provider = ring::default_provider();
    let chosen = fields.list(&SERVER_TLS.suites);
    if !chosen.is_empty() {
        provider.cipher_suites.retain(|suite| chosen.iter().any(|one| one.0 == suite.suite()));
    }
    provider
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ALL: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match min {
        TlsVersion::V12 => &ALL,
        TlsVersion::V13 => &ALL[..1],
    }
}

/// Which clients are let in, and where their authority is named; `None` within if it has errors.
fn trust(
    span: Span,
    fields: &Fields<'_>,
    pem: &Pem<'_>,
    problems: &Problems,
) -> Option<Option<(ClientTrust, Span)>> {
    let optional = fields.value(&SERVER_TLS.client_auth) == ClientAuth::Optional;
    let refuse_expired_lists = fields.value(&SERVER_TLS.expired_crls) == ExpiredLists::Refuse;
    let missing = fields.value(&SERVER_TLS.missing_crls);
    let allowed = fields.list(&SERVER_TLS.allowed_clients);
    let Some(node) = fields.get(&SERVER_TLS.client_ca) else {
        let needing: [&dyn Row; 5] = [
            &SERVER_TLS.client_auth,
            &SERVER_TLS.client_crls,
            &SERVER_TLS.expired_crls,
            &SERVER_TLS.missing_crls,
            &SERVER_TLS.allowed_clients,
        ];
        for key in needing.into_iter().filter(|key| fields.has(*key)) {
            let span = fields.get(key).map_or(span, |node| node.span);
            let message =
                format!("`{}` needs `client_ca`: no certificate is asked for", key.name());
            problems.error(
                span,
                message,
                "add `client_ca: ca.pem`, whose certificates clients have",
            );
        }
        return None;
    };
    let roots = pem.roots(node, Purpose::ClientCa);
    let lists = fields.items(&SERVER_TLS.client_crls);
    let lists = pem.revocation_lists(lists, roots.as_deref(), missing);
    let trust = roots.zip(lists).map(|(roots, revoked)| ClientTrust {
        roots,
        revoked,
        refuse_expired_lists,
        refuse_missing_lists: missing == MissingLists::Refuse,
        optional,
        allowed: allowed.into(),
    });
    Some(trust.zip(Some(node.span)))
}

fn verifier(
    trust: &ClientTrust,
    span: Span,
    problems: &Problems,
) -> Option<Arc<dyn rustls::server::danger::ClientCertVerifier>> {
    let roots = Arc::clone(&trust.roots);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if !trust.revoked.is_empty() {
        builder = builder.with_crls(trust.revoked.clone());
        if !trust.refuse_missing_lists {
            builder = builder.allow_unknown_revocation_status();
        }
        if trust.refuse_expired_lists {
            builder = builder.enforce_revocation_expiration();
        }
    }
    if trust.optional {
        builder = builder.allow_unauthenticated();
    }
    let what = match trust.revoked.is_empty() {
        true => "as authority of clients",
        false => "as authority of clients with these revocation lists",
    };
    let refused = |error| reject(problems, span, what, error);
    let chain = builder.build().map_err(refused).ok()?;
    Some(match trust.allowed.is_empty() {
        true => chain,
        false => Arc::new(ClientVerifier::new(chain, trust.allowed.clone())),
    })
}

/// The certificates, that of `cert` and `key` first.
fn certificates(
    fields: &mut Fields<'_>,
    pem: &Pem<'_>,
    problems: &Problems,
) -> Option<Vec<Arc<ServerCertificate>>> {
    let mut all = Vec::new();
    let is_given = fields.has(&SERVER_TLS.cert) || fields.has(&SERVER_TLS.key);
    if is_given || !fields.has(&SERVER_TLS.certificates) {
        let cert = fields
            .require(&SERVER_TLS.cert, "add `cert: server.pem`, the certificate and its chain");
        let key =
            fields.require(&SERVER_TLS.key, "add `key: server.key`, the certificate's private key");
        all.push(certificate(cert, key, pem, problems));
    }
    for item in fields.items(&SERVER_TLS.certificates) {
        let fields = Fields::of(item, &CERTIFICATE, problems);
        let (cert, key) = (fields.get(&CERTIFICATE.cert), fields.get(&CERTIFICATE.key));
        fields.finish();
        all.push(certificate(cert, key, pem, problems));
    }
    let all = all.into_iter().collect::<Option<Vec<_>>>()?;
    let before = problems.count();
    check_names(&all, problems);
    let all: Vec<_> = all.into_iter().map(|(certificate, _)| certificate).collect();
    (problems.count() == before && !all.is_empty()).then_some(all)
}

/// A certificate, and where its file is named.
pub type Placed = (Arc<ServerCertificate>, Span);

fn certificate(
    cert: Option<&Node>,
    key: Option<&Node>,
    pem: &Pem<'_>,
    problems: &Problems,
) -> Option<Placed> {
    let (chain, key, span) = pem.identity(cert, key, Purpose::Server)?;
    let cert = cert.map_or(span, |node| node.span);
    let sans = chain.first().map(|leaf| Sans::of(leaf)).unwrap_or_default();
    let key = certified(chain, key, span, problems)?;
    let names = sans.dns.iter().map(|name| name.to_ascii_lowercase().into()).collect();
    let uri = sans.uris.first().cloned();
    Some((Arc::new(ServerCertificate { key: Arc::new(key), names, uri }), cert))
}

/// Puts chain and key together; the error tells whether the key is that of another one in the chain.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    span: Span,
    problems: &Problems,
) -> Option<CertifiedKey> {
    let key = provider().key_provider.load_private_key(key);
    let key = key.map_err(|error| reject(problems, span, "with this certificate", error)).ok()?;
    let fits = |at: usize| {
        let rest = chain.get(at..).unwrap_or_default().to_vec();
        CertifiedKey::new(rest, Arc::clone(&key)).keys_match()
    };
    match fits(0) {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Some(CertifiedKey::new(chain, key))
        }
        Err(error) => {
            let own = (1..chain.len()).find(|at| fits(*at).is_ok());
            refuse_pair(problems, span, error, own);
            None
        }
    }
}
