//! TLS from PEM files: read, parsed and tried out when the configuration is loaded.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring::Ticketer;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::files::Files;
use super::node::Node;
use super::read::{Fields, text};
use super::report::{Problems, Span};
use crate::net::ServerTls;
use crate::upstream;

/// No chain of certificates is larger; bundles of authorities are about 200 KiB.
const MAX_PEM: u64 = 4 << 20;

/// A chain of certificates, its private key, and where the key is named.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, Span);

/// A listener's `tls`.
pub fn server(node: &Node, files: &Files, problems: &Problems) -> Option<ServerTls> {
    let mut fields = Fields::of(node, problems);
    let pem = Pem::new(files, problems);
    let cert = fields.require("cert", "add `cert: server.pem`, the certificate and its chain");
    let key = fields.require("key", "add `key: server.key`, the certificate's private key");
    let client_ca = fields.get("client_ca");
    let roots = client_ca.map(|node| pem.roots(node).zip(Some(node.span)));
    let identity = pem.identity(cert, key);
    fields.finish();

    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| problems.error(node.span, error.to_string(), ""))
        .ok()?;
    let (builder, client_ca) = match roots {
        None => (builder.with_no_client_auth(), None),
        Some(roots) => {
            let (roots, span) = roots?;
            let client_ca = Some(Arc::clone(&roots));
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let refused = |error| reject(problems, span, "as authority of clients", error);
            (builder.with_client_cert_verifier(verifier.map_err(refused).ok()?), client_ca)
        }
    };
    let (chain, private, span) = identity?;
    let mut config = builder
        .with_single_cert(chain, private)
        .map_err(|error| reject(problems, span, "with this certificate", error))
        .ok()?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // The clients keep the sessions, however many there are.
    config.ticketer =
        Ticketer::new().map_err(|error| problems.error(node.span, error.to_string(), "")).ok()?;
    Some(ServerTls::new(config, client_ca))
}

/// A service's `tls`.
pub fn client(
    node: &Node,
    version: upstream::Version,
    files: &Files,
    problems: &Problems,
) -> Option<upstream::Tls> {
    let mut fields = Fields::of(node, problems);
    let pem = Pem::new(files, problems);
    let ca = fields.require("ca", "add `ca: ca.pem`, whose certificates the backends have");
    let cert = fields.get("cert");
    let key = fields.get("key");
    let server_name = fields.parsed("server_name", |name| {
        ServerName::try_from(text(name)?).map_err(|_| {
            format!("`{name}` is neither a DNS name nor an IP address: write orders.internal")
        })
    });
    if let (Some(lone), None) | (None, Some(lone)) = (cert, key) {
        let help = "give both, or neither if the backends ask for no client certificate";
        problems.error(lone.span, "`cert` and `key` belong together", help);
    }
    let roots = ca.and_then(|node| pem.roots(node).zip(Some(node.span)));
    let wanted = cert.is_some() && key.is_some();
    let identity = pem.identity(cert.filter(|_| wanted), key.filter(|_| wanted));
    fields.finish();

    let (roots, span) = roots?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| problems.error(node.span, error.to_string(), ""))
        .ok()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| reject(problems, span, "as authority of backends", error))
        .ok()?;
    let builder = builder.with_webpki_verifier(verifier);
    let mut config = match identity {
        None if wanted => return None,
        None => builder.with_no_client_auth(),
        Some((chain, private, span)) => builder
            .with_client_auth_cert(chain, private)
            .map_err(|error| reject(problems, span, "with this certificate", error))
            .ok()?,
    };
    config.alpn_protocols = vec![version.alpn().to_vec()];
    Some(upstream::Tls {
        config: Arc::new(config),
        server_name,
        fingerprint: pem.fingerprint(version),
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn reject(problems: &Problems, span: Span, what: &str, error: impl std::fmt::Display) {
    let message = format!("cannot be used {what}: {error}");
    problems.error(span, message, "check that the files belong together");
}

/// The PEM files of one `tls`.
struct Pem<'a> {
    files: &'a Files,
    problems: &'a Problems,
    /// Over all that was read.
    hasher: RefCell<DefaultHasher>,
}

impl<'a> Pem<'a> {
    fn new(files: &'a Files, problems: &'a Problems) -> Pem<'a> {
        Pem { files, problems, hasher: RefCell::default() }
    }

    /// Of what was read, for what speaks this version: comments count for nothing.
    fn fingerprint(&self, version: upstream::Version) -> u64 {
        let mut hasher = self.hasher.borrow().clone();
        version.alpn().hash(&mut hasher);
        hasher.finish()
    }

    /// Reads both, so that the errors of both are found.
    fn identity(&self, cert: Option<&Node>, key: Option<&Node>) -> Option<Identity> {
        let chain = cert.and_then(|node| self.certificates(node));
        let key = key.and_then(|node| self.key(node).zip(Some(node.span)));
        let (chain, (key, span)) = chain.zip(key)?;
        Some((chain, key, span))
    }

    fn roots(&self, node: &Node) -> Option<Arc<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(node)? {
            if let Err(error) = roots.add(certificate) {
                reject(self.problems, node.span, "as authority", error);
                return None;
            }
        }
        Some(Arc::new(roots))
    }

    fn certificates(&self, node: &Node) -> Option<Vec<CertificateDer<'static>>> {
        let (path, pem) = self.read(node)?;
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let message = match parsed {
            Ok(certificates) if !certificates.is_empty() => {
                certificates.hash(&mut *self.hasher.borrow_mut());
                return Some(certificates);
            }
            Ok(_) => format!("{} holds no certificate", path.display()),
            Err(error) => format!("{} is not PEM: {error}", path.display()),
        };
        let help = "it has to hold `-----BEGIN CERTIFICATE-----` blocks";
        self.problems.error(node.span, message, help);
        None
    }

    fn key(&self, node: &Node) -> Option<PrivateKeyDer<'static>> {
        let (path, pem) = self.read(node)?;
        match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(key) => {
                key.secret_der().hash(&mut *self.hasher.borrow_mut());
                Some(key)
            }
            Err(error) => {
                let message = format!("{} holds no private key: {error}", path.display());
                let help = "it has to hold a `-----BEGIN PRIVATE KEY-----` block, not encrypted";
                self.problems.error(node.span, message, help);
                None
            }
        }
    }

    /// The content of the file that `node` names.
    fn read(&self, node: &Node) -> Option<(PathBuf, Vec<u8>)> {
        let name = super::read::scalar(node, self.problems, text)?;
        let path = self.files.locate(&name);
        match self.files.read(&path, MAX_PEM) {
            Ok(content) => Some((path, content)),
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                let help = "relative paths start at the folder of the configuration file";
                self.problems.error(node.span, message, help);
                None
            }
        }
    }
}
