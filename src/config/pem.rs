//! Reads PEM files: certificate chains, CA bundles, private keys.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::certificates::{Purpose, inspect};
use super::files::Files;
use super::keys::MissingLists;
use super::node::Node;
use super::read::{scalar, text};
use super::report::{Problems, Span};
use super::revocations::{self, RevocationList};
use crate::clock;
use crate::text::listed;

/// Maximum size of a file; CA bundles are about 200 KiB.
const MAX_PEM: u64 = 4 << 20;

/// The PEM label of a revocation list.
const CRL: &str = "X509 CRL";

/// A certificate chain, its private key, and the location where the key is named.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, Span);

/// Reads the PEM files of one `tls` section.
pub struct Pem<'a> {
    files: &'a Files,
    problems: &'a Problems,
    /// A hash of everything that was read.
    hasher: RefCell<DefaultHasher>,
}

impl<'a> Pem<'a> {
    pub fn new(files: &'a Files, problems: &'a Problems) -> Pem<'a> {
        Pem { files, problems, hasher: RefCell::default() }
    }

    /// A fingerprint of the parsed content and of `rest`; comments in the files do not count.
    pub fn fingerprint(&self, rest: impl Hash) -> u64 {
        let mut hasher = self.hasher.borrow().clone();
        rest.hash(&mut hasher);
        hasher.finish()
    }

    /// Reads both files, to report the errors of both.
    pub fn identity(
        &self,
        cert: Option<&Node>,
        key: Option<&Node>,
        of: Purpose,
    ) -> Option<Identity> {
        let chain = cert.and_then(|node| self.certificates(node, of));
        let key = key.and_then(|node| self.key(node).zip(Some(node.span)));
        let (chain, (key, span)) = chain.zip(key)?;
        Some((chain, key, span))
    }

    /// Reads the CA certificates of the file that `node` names.
    pub fn roots(&self, node: &Node, of: Purpose) -> Option<Arc<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(node, of)? {
            if let Err(error) = roots.add(certificate) {
                let message = format!("cannot be used as authority: {error}");
                let help = "name a file with the certificates of authorities";
                self.problems.error(node.span, message, help);
                return None;
            }
        }
        Some(Arc::new(roots))
    }

    /// The authorities that the system trusts. They are read at each load, but not watched.
    pub fn system_roots(&self, node: &Node) -> Option<Arc<RootCertStore>> {
        let found = rustls_native_certs::load_native_certs();
        found.certs.hash(&mut *self.hasher.borrow_mut());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let errors: String = found.errors.iter().map(|error| format!(": {error}")).collect();
            let help = "install the package `ca-certificates`, or name a file";
            let message = format!("the system has no certificates of authorities{errors}");
            self.problems.error(node.span, message, help);
            return None;
        }
        Some(Arc::new(roots))
    }

    /// Reads the revocation lists that `nodes` name, of the authorities `roots`; `without` a list of
    /// one, this is done about whom it has certified.
    pub fn revocation_lists(
        &self,
        nodes: &[Node],
        roots: Option<&RootCertStore>,
        without: MissingLists,
    ) -> Option<Vec<CertificateRevocationListDer<'static>>> {
        let mut all = Vec::new();
        let mut is_broken = false;
        for node in nodes {
            let lists =
                self.read(node).map(|(name, content)| (revocations::read(&name, &content), name));
            let Some((lists, name)) = lists else {
                is_broken = true;
                continue;
            };
            match lists {
                Ok(lists) => {
                    all.extend(lists.into_iter().map(|list| (list, name.clone(), node.span)))
                }
                Err((message, help)) => {
                    is_broken = true;
                    self.problems.error(node.span, message, help);
                }
            }
        }
        if is_broken {
            return None;
        }
        for (list, name, span) in &all {
            list.der.hash(&mut *self.hasher.borrow_mut());
            for (message, help) in list.warnings(name, roots, clock::unix_seconds() as i64) {
                self.problems.warn(*span, message, help);
            }
            self.files.keep(list.validity(name).into_iter().collect());
        }
        let lists: Vec<RevocationList> = all.into_iter().map(|(list, ..)| list).collect();
        if let (Some(roots), Some(node)) = (roots, nodes.first()) {
            for (message, help) in revocations::missing(&lists, roots, without) {
                self.problems.warn(node.span, message, help);
            }
        }
        Some(lists.into_iter().map(|list| list.der).collect())
    }

    fn certificates(&self, node: &Node, of: Purpose) -> Option<Vec<CertificateDer<'static>>> {
        let (name, pem) = self.read(node)?;
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = match parsed {
            Ok(certificates) if !certificates.is_empty() => certificates,
            Ok(_) => return self.without_certificate(node, &name, &pem),
            Err(error) => {
                let help = "it has to hold `-----BEGIN CERTIFICATE-----` blocks";
                self.problems.error(node.span, format!("{name} is not PEM: {error}"), help);
                return None;
            }
        };
        certificates.hash(&mut *self.hasher.borrow_mut());
        let inspection = inspect(&name, &certificates, of, clock::unix_seconds() as i64);
        for (message, help) in inspection.warnings {
            self.problems.warn(node.span, message, help);
        }
        if labels(&pem).contains(CRL) {
            let message = format!("the revocation list in {name} is not looked at");
            let help =
                "whom it revokes is believed all the same: name it under `client_crls` or `crls`";
            self.problems.warn(node.span, message, help);
        }
        self.files.keep(inspection.certificates);
        Some(certificates)
    }

    fn without_certificate<T>(&self, node: &Node, name: &str, pem: &[u8]) -> Option<T> {
        let labels = labels(pem);
        let mut message = format!("{name} holds no certificate");
        let mut help = "it has to hold `-----BEGIN CERTIFICATE-----` blocks";
        if labels.contains(CRL) {
            message += ", but a revocation list";
            help =
                "name the certificate of the authority; revocation lists have a key of their own";
        } else if !labels.is_empty() {
            message = format!("{message}, but {}", listed(labels.into_iter().collect()));
        } else if pem.first() == Some(&0x30) {
            message += " in PEM; it looks like DER";
            help = "`openssl x509 -inform der` makes PEM of it";
        }
        self.problems.error(node.span, message, help);
        None
    }

    fn key(&self, node: &Node) -> Option<PrivateKeyDer<'static>> {
        let (name, pem) = self.read(node)?;
        match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(key) => {
                key.secret_der().hash(&mut *self.hasher.borrow_mut());
                Some(key)
            }
            Err(error) => {
                let message = format!("{name} holds no private key: {error}");
                let help = "it has to hold a `-----BEGIN PRIVATE KEY-----` block, not encrypted";
                self.problems.error(node.span, message, help);
                None
            }
        }
    }

    /// Reads the file that `node` names; returns its name and content.
    fn read(&self, node: &Node) -> Option<(String, Vec<u8>)> {
        let name = scalar(node, self.problems, text)?;
        let path = self.files.locate(&name);
        match self.files.read(&path, MAX_PEM) {
            Ok(content) => Some((path.display().to_string(), content)),
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                let help = "relative paths start at the folder of the configuration file";
                self.problems.error(node.span, message, help);
                None
            }
        }
    }
}

/// The PEM labels in the file.
fn labels(pem: &[u8]) -> BTreeSet<String> {
    let lines = pem.split(|byte| *byte == b'\n');
    let labels = lines.filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?.trim();
        line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")
    });
    labels.map(str::to_owned).collect()
}
