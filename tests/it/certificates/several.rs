//! Several certificates of one listener, and revocation lists: what is said of them.

use rcgen::SanType;

use super::{GOOD, Shelf, leaf, with};

/// A listener's `certificates`, in the order of `names`.
fn several(names: &[&str]) -> String {
    let list = names.iter().map(|name| format!("{{ cert: {name}.pem, key: {name}.key }}"));
    format!("certificates: [ {} ]", list.collect::<Vec<_>>().join(", "))
}

impl Shelf {
    fn issue_for(&self, name: &str, dns: &[&str]) {
        let names = dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
        self.issue(name, with(leaf(), |params| params.subject_alt_names = names.collect()));
    }
}

#[test]
fn certificates_that_are_never_shown_are_refused_or_warned_of() {
    let shelf = Shelf::new();
    let says = |names: &[&str], part: &str| shelf.refuses(&several(names), "ca: root.pem", part);
    let warns =
        |names: &[&str], parts: &[&str]| shelf.warns(&several(names), "ca: root.pem", parts);
    shelf.issue_for("ab", &["a.test", "b.test"]);
    shelf.issue_for("a", &["A.test"]);
    shelf.issue_for("bc", &["b.test", "c.test"]);
    shelf.issue_for("wild", &["*.test"]);
    let names = vec![SanType::IpAddress("192.0.2.1".parse().unwrap())];
    shelf.issue("address", with(leaf(), |params| params.subject_alt_names = names));
    warns(&["ab"], &[]);
    warns(&["ab", "wild"], &[]);
    warns(&["address", "ab"], &[]);
    warns(&["ab", "bc"], &["for `b.test` an earlier certificate is shown, not this one"]);
    warns(&["ab", "address"], &["this certificate is never shown"]);
    says(&["ab", "a"], "every name of this certificate is an earlier one's: `a.test`");
    says(&["ab", "ab"], "every name");
    says(&["address", "ab", "address"], "another certificate without a DNS name is shown");
    shelf.refuses("certificates: []", "ca: root.pem", "the list is empty");
    let both = format!("cert: ab.pem, key: ab.key, {}", several(&["a"]));
    shelf.refuses(&both, "ca: root.pem", "every name of this");
    let lone = format!("cert: ab.pem, {}", several(&["bc"]));
    shelf.refuses(&lone, "ca: root.pem", "`key` is missing");
    shelf.refuses(
        &format!("{GOOD}, suites: [ TLS_AES_128_GCM_SHA256 ]"),
        "ca: no.pem",
        "No such file",
    );
    let suites = "suites: [ TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 ]";
    shelf.refuses(
        &format!("{GOOD}, min_version: TLSv1.3, {suites}"),
        "ca: root.pem",
        "no usable cipher suites",
    );
}

#[test]
fn revocation_lists_are_tried_out() {
    let shelf = Shelf::new();
    let list = shelf.revocation_list();
    shelf.write("crl.pem", &list);
    shelf.write("junk.crl", "junk");
    shelf.write("der.crl", "0\u{1}");
    let with = |rest: &str| format!("{GOOD}, client_ca: root.pem, client_crls: [ {rest} ]");
    shelf.warns(&with("crl.pem"), "ca: root.pem", &[]);
    shelf.refuses(&with("junk.crl"), "ca: root.pem", "junk.crl holds no revocation list");
    shelf.refuses(&with("der.crl"), "ca: root.pem", "der.crl is no revocation list");
    shelf.refuses(&with("none.crl"), "ca: root.pem", "No such file");
    let other = &format!("{GOOD}, client_ca: between.pem, client_crls: [ crl.pem ]");
    let odd = ["is none of the authorities", "no revocation list of the authority `CN=between`"];
    let warnings = shelf.says(other, "ca: root.pem").unwrap();
    assert!(odd.iter().all(|part| warnings.iter().any(|said| said.contains(part))), "{warnings:?}");
    assert!(
        warnings.iter().any(|said| said.contains("are refused: name its list")),
        "{warnings:?}"
    );
    let accepts = &format!("{other}, missing_crls: accept");
    let warnings = shelf.says(accepts, "ca: root.pem").unwrap();
    assert!(warnings.iter().any(|said| said.contains("has revoked is let in")), "{warnings:?}");
    let needs = "needs `client_ca`";
    for rest in [
        "client_auth: optional",
        "client_crls: [ crl.pem ]",
        "missing_crls: accept",
        "allowed_clients: [ a.test ]",
    ] {
        shelf.refuses(&format!("{GOOD}, {rest}"), "ca: root.pem", needs);
    }
    let wrong = format!("{GOOD}, client_ca: root.pem, allowed_clients: [ \"spiffe://shop*\" ]");
    shelf.refuses(&wrong, "ca: root.pem", "write spiffe://shop/*");
}

#[test]
fn the_authorities_of_the_system_are_found_or_asked_for() {
    let shelf = Shelf::new();
    shelf.write("gateway.yaml", &super::yaml(GOOD, "ca: system, server_name: a.test"));
    for (file, code) in [("root.pem", 0), ("none.pem", 1)] {
        let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_equipoise"));
        check.args(["check", "--config", "gateway.yaml"]).current_dir(shelf.folder.path());
        let output = check.env("SSL_CERT_FILE", file).env_remove("SSL_CERT_DIR").output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(said.contains("the system has no certificates"), code == 1, "{said}");
    }
    shelf.refuses(GOOD, "ca: root.pem, spiffe: a.test", "write spiffe://shop/orders");
}
