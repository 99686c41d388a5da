//! The certificates of a listener, and which of them a client is shown.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A certificate with its chain and key.
#[derive(Debug)]
pub struct ServerCertificate {
    /// Chain and key.
    pub key: Arc<CertifiedKey>,
    /// The DNS names that it is for, in lower case; `*.` is for one label.
    pub names: Box<[Box<str>]>,
    /// The first URI that it is for: a SPIFFE id.
    pub uri: Option<Box<str>>,
}

impl ServerCertificate {
    fn is_rsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::RSA
    }
}

/// Certificates for the same name, those that are cheaper to sign with first.
type Group = Vec<Arc<ServerCertificate>>;

/// The certificates of a listener, chosen by the name that a client asks for (SNI): one with this
/// very name, one with a wildcard for it, or the default; among several the first whose signature
/// the client can verify, others before RSA.
#[derive(Debug)]
pub struct Certificates {
    exact: HashMap<Box<str>, Group>,
    /// By what follows `*`, the dot included.
    wildcard: HashMap<Box<str>, Group>,
    default: Group,
    refuse_unknown: bool,
}

impl Certificates {
    /// A set whose first certificate is the default, with the others for its first name. Names that
    /// no certificate has get the default, or are refused if `refuse_unknown`.
    pub fn new(all: Vec<Arc<ServerCertificate>>, refuse_unknown: bool) -> Certificates {
        let mut set = Certificates {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: Group::new(),
            refuse_unknown,
        };
        for certificate in &all {
            for name in &certificate.names {
                let (map, name) = match name.strip_prefix('*') {
                    Some(rest) => (&mut set.wildcard, rest),
                    None => (&mut set.exact, &**name),
                };
                map.entry(name.into()).or_default().push(Arc::clone(certificate));
            }
        }
        if let Some(first) = all.first() {
            let same = |other: &&Arc<ServerCertificate>| match first.names.first() {
                Some(name) => other.names.contains(name),
                None => other.names.is_empty(),
            };
            set.default = all.iter().filter(same).map(Arc::clone).collect();
        }
        let groups = set.exact.values_mut().chain(set.wildcard.values_mut());
        for group in groups.chain([&mut set.default]) {
            group.sort_by_key(|certificate| certificate.is_rsa()); // stable
        }
        set
    }

    /// The groups for a name, the best first.
    fn candidates(&self, name: Option<&str>) -> impl Iterator<Item = &Group> {
        let exact = name.and_then(|name| self.exact.get(name));
        let wildcard = name.and_then(|name| self.wildcard.get(name.get(name.find('.')?..)?));
        let unknown = name.is_some() && exact.is_none() && wildcard.is_none();
        let default = (!unknown || !self.refuse_unknown).then_some(&self.default);
        exact.into_iter().chain(wildcard).chain(default)
    }

    /// The URI that the gateway has for clients that ask for `name`.
    pub fn uri(&self, name: Option<&str>) -> Option<&str> {
        self.candidates(name).next()?.first()?.uri.as_deref()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let verifiable = |certificate: &&Arc<ServerCertificate>| {
            certificate.key.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let mut fitting = self.candidates(hello.server_name()).flatten().filter(verifiable);
        fitting.next().map(|certificate| Arc::clone(&certificate.key))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
    use rustls::crypto::ring;
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn certificate(names: &[&str], ecdsa: bool) -> Arc<ServerCertificate> {
        let kind = if ecdsa { &PKCS_ECDSA_P256_SHA256 } else { &PKCS_ED25519 };
        let key = KeyPair::generate_for(kind).unwrap();
        let params = CertificateParams::new(Vec::new()).unwrap();
        let chain = vec![params.self_signed(&key).unwrap().der().clone()];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider()).unwrap();
        let names = names.iter().map(|name| Box::from(*name)).collect();
        Arc::new(ServerCertificate { key: Arc::new(key), names, uri: None })
    }

    fn shown(set: &Certificates, name: Option<&str>) -> Vec<String> {
        let group = set.candidates(name).next();
        group.into_iter().flatten().map(|one| one.names.join(" ")).collect()
    }

    #[test]
    fn the_name_itself_comes_before_a_wildcard_and_that_before_the_first() {
        let all = || {
            vec![
                certificate(&["first.test", "other.test"], true),
                certificate(&["*.shop.test"], true),
                certificate(&["a.shop.test"], true),
                certificate(&["first.test"], false),
            ]
        };
        let set = Certificates::new(all(), false);
        let first = ["first.test other.test", "first.test"];
        assert_eq!(shown(&set, Some("first.test")), first);
        assert_eq!(shown(&set, Some("other.test")), first[..1]);
        assert_eq!(shown(&set, Some("a.shop.test")), ["a.shop.test"]);
        assert_eq!(shown(&set, Some("b.shop.test")), ["*.shop.test"]);
        for unknown in ["b.a.shop.test", "shop.test", ".shop.test.", "test", "", "."] {
            assert_eq!(shown(&set, Some(unknown)), first, "{unknown}");
        }
        assert_eq!(shown(&set, None), first);
        let strict = Certificates::new(all(), true);
        assert!(shown(&strict, Some("b.a.shop.test")).is_empty());
        assert_eq!(shown(&strict, Some("b.shop.test")), ["*.shop.test"]);
        assert_eq!(shown(&strict, None), first);
    }

    #[test]
    fn the_default_without_names_has_its_kind_beside_it() {
        let all =
            vec![certificate(&[], true), certificate(&["a.test"], true), certificate(&[], false)];
        assert_eq!(Certificates::new(all, false).default.len(), 2);
    }
}
