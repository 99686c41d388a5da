//! Certificates made for one test.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tonic::transport::{Certificate, Identity};

/// A certificate authority in a folder, with `ca.pem`.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.issuer.pem())
    }

    /// A certificate for `host`, in `NAME.pem` and `NAME.key` too.
    pub fn issue(&self, name: &str, host: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        let at = |ending: &str| self.folder().join(format!("{name}.{ending}"));
        std::fs::write(at("pem"), &cert).unwrap();
        std::fs::write(at("key"), key.serialize_pem()).unwrap();
        Identity::from_pem(cert, key.serialize_pem())
    }
}
