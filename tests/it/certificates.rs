//! Errors and warnings about unsuitable certificates.

mod several;

use std::path::Path;

use equipoise::config;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber,
    date_time_ymd,
};
use tempfile::TempDir;

use crate::support::gateway::{Gateway, PORTS};

/// A folder of certificates: root `ca`, intermediate `between`, leaves.
struct Shelf {
    folder: TempDir,
    root: CertifiedIssuer<'static, KeyPair>,
    between: CertifiedIssuer<'static, KeyPair>,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["gateway.test".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "leaf");
    params
}

/// The same, modified by `change`.
fn with(
    mut params: CertificateParams,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateParams {
    change(&mut params);
    params
}

impl Shelf {
    fn new() -> Shelf {
        let key = || KeyPair::generate().unwrap();
        let root = CertifiedIssuer::self_signed(authority("root"), key()).unwrap();
        let between = CertifiedIssuer::signed_by(authority("between"), key(), &root).unwrap();
        let shelf = Shelf { folder: tempfile::tempdir().unwrap(), root, between };
        shelf.write("root.pem", &shelf.root.pem());
        shelf.write("between.pem", &shelf.between.pem());
        shelf.issue("good", leaf());
        shelf
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// `NAME.pem` and `NAME.key`.
    fn issue(&self, name: &str, params: CertificateParams) {
        let key = KeyPair::generate().unwrap();
        self.write(&format!("{name}.pem"), &params.signed_by(&key, &self.between).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn revocation_list(&self) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2050, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer: &Issuer<'static, KeyPair> = &self.root;
        params.signed_by(issuer).unwrap().pem().unwrap()
    }

    /// The errors, or else the warnings, of a configuration with these `tls` settings for clients
    /// and backends.
    fn says(&self, server: &str, client: &str) -> Result<Vec<String>, Vec<String>> {
        let said =
            |findings: &[config::Finding]| findings.iter().map(ToString::to_string).collect();
        match config::parse(&yaml(server, client), self.folder.path()) {
            Ok(plan) => Ok(said(&plan.warnings)),
            Err(report) => Err(said(report.errors())),
        }
    }

    fn warns(&self, server: &str, client: &str, parts: &[&str]) {
        let warnings = self.says(server, client).unwrap();
        let fits = warnings.len() == parts.len()
            && warnings.iter().zip(parts).all(|(warning, part)| warning.contains(part));
        assert!(fits, "{server} {client}: {warnings:#?} {parts:?}");
    }

    fn refuses(&self, server: &str, client: &str, part: &str) {
        let errors = self.says(server, client).unwrap_err();
        assert!(errors.len() == 1 && errors[0].contains(part), "{server} {client}: {errors:#?}");
    }
}

fn yaml(server: &str, client: &str) -> String {
    let listener = format!("address: 127.0.0.1:0, tls: {{ {server} }} }} ]");
    format!(
        "{}services:\n  echo:\n    tls: {{ {client} }}\n    endpoints: [ {{ address: 127.0.0.1:1 }} ]\n\
         routes: [ {{ service: echo }} ]\n",
        PORTS.replace("address: 127.0.0.1:0 } ]", &listener),
    )
}

const GOOD: &str = "cert: good.pem, key: good.key";

#[test]
fn what_is_odd_is_warned_of_and_what_cannot_work_refused() {
    let shelf = Shelf::new();
    shelf.warns(&format!("{GOOD}, client_ca: root.pem"), "ca: root.pem", &[]);

    shelf.issue("old", with(leaf(), |params| params.not_after = date_time_ymd(2020, 2, 3)));
    shelf.warns(
        "cert: old.pem, key: old.key",
        "ca: root.pem",
        &["has expired: it was valid until Feb  3"],
    );
    shelf.issue("new", with(leaf(), |params| params.not_before = date_time_ymd(2090, 2, 3)));
    shelf.warns(
        &format!("{GOOD}, client_ca: root.pem"),
        "ca: root.pem, cert: new.pem, key: new.key",
        &["`CN=leaf` in"],
    );
    let names = Vec::new();
    shelf.issue("nameless", with(leaf(), |params| params.subject_alt_names = names));
    shelf.warns(
        "cert: nameless.pem, key: nameless.key",
        "ca: root.pem",
        &["has no subjectAltName"],
    );
    let extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    shelf.issue("caller", with(leaf(), |params| params.extended_key_usages = extended_key_usages));
    let caller = "cert: caller.pem, key: caller.key";
    shelf.warns(caller, &format!("ca: root.pem, {caller}"), &["is not meant for servers"]);

    // Authorities.
    let expects = "the certificate `CN=leaf` in";
    shelf.warns(&format!("{GOOD}, client_ca: good.pem"), "ca: root.pem", &[expects]);
    shelf.warns(GOOD, "ca: good.pem", &["is not an authority's"]);
    shelf.write("crl.pem", &shelf.revocation_list());
    shelf.refuses(&format!("{GOOD}, client_ca: crl.pem"), "ca: root.pem", "but a revocation list");
    shelf.refuses(GOOD, "ca: crl.pem", "but a revocation list");
    shelf.refuses(GOOD, "ca: good.key", "but `PRIVATE KEY`");
    shelf.write("both.pem", &(shelf.read("root.pem") + &shelf.read("crl.pem")));
    shelf.warns(&format!("{GOOD}, client_ca: both.pem"), "ca: root.pem", &["is not looked at"]);

    // Chains and keys.
    let chain = |names: [&str; 3]| names.map(|name| shelf.read(&format!("{name}.pem"))).concat();
    shelf.write("chain.pem", &chain(["good", "between", "root"]));
    shelf.warns("cert: chain.pem, key: good.key", "ca: root.pem", &[]);
    shelf.write("chain.pem", &chain(["good", "root", "between"]));
    let wrong = "`CN=leaf` is followed by `CN=root`, which did not issue it";
    shelf.warns("cert: chain.pem, key: good.key", "ca: root.pem", &[wrong]);
    shelf.write("chain.pem", &chain(["between", "good", "root"]));
    let key = "the key is not that of the first certificate in `cert`";
    shelf.refuses(
        "cert: chain.pem, key: good.key",
        "ca: root.pem",
        "the key is not that of the first certificate in `cert`, but of number 2: the order is wrong",
    );
    shelf.refuses("cert: good.pem, key: old.key", "ca: root.pem", key);
    shelf.refuses(GOOD, "ca: root.pem, cert: good.pem, key: old.key", key);
}

#[test]
fn a_bundle_of_authorities_is_as_good_as_the_last_of_them() {
    let shelf = Shelf::new();
    let ca = |end: i32| {
        let params = with(authority("old"), |params| params.not_after = date_time_ymd(end, 1, 1));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    };
    let old: String = (0..16).map(|_| ca(2020)).collect();
    shelf.write("some.pem", &old);
    assert!(shelf.says(GOOD, "ca: some.pem").unwrap()[0].contains("has expired"));
    shelf.write("bundle.pem", &(old.clone() + &ca(2020)));
    shelf.warns(GOOD, "ca: bundle.pem", &["`bundle of 17` in"]);
    shelf.write("bundle.pem", &(old + &ca(2090)));
    shelf.warns(GOOD, "ca: bundle.pem", &[]);
}

#[tokio::test]
async fn metrics_say_when_those_in_use_end() {
    let shelf = Shelf::new();
    let year = |year| with(leaf(), |params| params.not_after = date_time_ymd(year, 1, 1));
    shelf.issue("server", year(2040));
    shelf.issue("client", year(2041));
    let configuration = yaml(
        "cert: server.pem, key: server.key, client_ca: root.pem",
        "ca: root.pem, cert: client.pem, key: client.key",
    );
    let folder: &Path = shelf.folder.path();
    let mut gateway = Gateway::start_in(&configuration, folder).await;
    let end = async |gateway: &Gateway, file: &str, subject: &str| {
        let file = folder.join(file).display().to_string();
        let name = "equipoise_certificate_expiry_timestamp_seconds";
        gateway.metrics().await.value(name, &[("file", &file), ("subject", subject)])
    };
    let unix = |year| date_time_ymd(year, 1, 1).unix_timestamp() as f64;
    assert_eq!(end(&gateway, "server.pem", "CN=leaf").await, unix(2040));
    assert_eq!(end(&gateway, "client.pem", "CN=leaf").await, unix(2041));
    assert!(end(&gateway, "root.pem", "CN=root").await > unix(2041));
    shelf.issue("server", year(2050));
    assert!(gateway.reload_in(&configuration, folder).await);
    assert_eq!(end(&gateway, "server.pem", "CN=leaf").await, unix(2050));
}
