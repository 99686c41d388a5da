//! Certificates made for one test.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use tempfile::TempDir;
use tonic::transport::{Certificate, Identity};

/// A certificate authority in a folder, with `ca.pem`.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
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
        self.issue_as(name, &[host])
    }

    /// As `issue`, for several names, which may be URIs. Its serial number is made of `name`.
    pub fn issue_as(&self, name: &str, sans: &[&str]) -> Identity {
        self.issue_with(name, sans, &KeyPair::generate().unwrap())
    }

    /// As `issue_as`, with this key.
    pub fn issue_with(&self, name: &str, sans: &[&str], key: &KeyPair) -> Identity {
        let (uris, hosts): (Vec<&str>, Vec<&str>) =
            sans.iter().partition(|san| san.contains("://"));
        let hosts: Vec<_> = hosts.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from_slice(name.as_bytes()));
        let uris = uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        self.issue_by(name, params, key)
    }

    /// A certificate of this kind, in `NAME.pem` and `NAME.key` too.
    pub fn issue_by(&self, name: &str, params: CertificateParams, key: &KeyPair) -> Identity {
        let cert = params.signed_by(key, &self.issuer).unwrap().pem();
        let at = |ending: &str| self.folder().join(format!("{name}.{ending}"));
        std::fs::write(at("pem"), &cert).unwrap();
        std::fs::write(at("key"), key.serialize_pem()).unwrap();
        Identity::from_pem(cert, key.serialize_pem())
    }

    /// A revocation list in `FILE`, of the certificates with these names, good until the year `until`.
    pub fn revoke(&self, file: &str, names: &[&str], until: i32) {
        let revoked = names.iter().map(|name| RevokedCertParams {
            serial_number: SerialNumber::from_slice(name.as_bytes()),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer: &Issuer<'static, KeyPair> = &self.issuer;
        let list = params.signed_by(issuer).unwrap();
        let content = match file.ends_with(".der") {
            true => list.der().to_vec(),
            false => list.pem().unwrap().into_bytes(),
        };
        std::fs::write(self.folder().join(file), content).unwrap();
    }
}
