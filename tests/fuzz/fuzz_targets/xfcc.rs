//! Any certificate: what backends are told of it in `x-forwarded-client-cert` is one element, of plain
//! characters, with no field that the gateway did not write.
#![no_main]

use equipoise::model::CertificateField::{Cert, Chain, Dns, Subject, Uri};
use equipoise::net::ClientCertificate;
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;

/// The names of the fields of an element, by the rules of a quoted string.
fn fields(element: &str) -> Vec<String> {
    let (mut fields, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in element.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => panic!("{element} is several"),
            ';' if !quoted => {
                fields.push(String::new());
                continue;
            }
            _ => {}
        }
        fields.last_mut().unwrap().push(c);
    }
    assert!(!quoted && !escaped, "{element}");
    fields.iter().map(|field| field.split_once('=').expect("a field has a value").0.into()).collect()
}

fuzz_target!(|der: &[u8]| {
    let chain = [CertificateDer::from(der)];
    let all = [Subject, Uri, Dns, Cert, Chain];
    let Some(read) = ClientCertificate::read(&chain, &all, Some("spiffe://a/b"), 0)
    else {
        return;
    };
    let element = std::str::from_utf8(&read.element).expect("it is text");
    assert!(element.len() <= 16 << 10 && element.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let names = fields(element);
    let named = |name: &str| names.iter().filter(|field| *field == name).count();
    assert_eq!((named("By"), named("Hash")), (1, 1), "{element}");
    assert!(["Subject", "Cert", "Chain"].iter().all(|name| named(name) <= 1), "{element}");
    if let Some(sans) = read.sans.plain() {
        assert!(named("URI") <= sans.uris.len() && named("DNS") <= sans.dns.len(), "{element}");
    } else {
        assert_eq!(named("URI") + named("DNS"), 0, "{element}");
    }
    let known = ["By", "Hash", "Subject", "URI", "DNS", "Cert", "Chain"];
    assert!(names.iter().all(|name| known.contains(&&**name)), "{element}");
});
