//! Certificates of listeners and of their clients, as OpenSSL and stock clients see them.

mod clients;
mod offered;
mod rotation;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rcgen::KeyPair;

use crate::support::certificates::Authority;
use crate::support::gateway::{Gateway, PORTS};

/// A configuration with a listener with this `tls`; `forwarded` and the like may follow. `/` has no
/// route.
pub fn yaml(tls: &str, rest: &str) -> String {
    let listener = format!("address: 127.0.0.1:0, tls: {{ {tls} }}{rest} }} ]");
    format!(
        "{}services: {{ echo: {{ endpoints: [ {{ address: 127.0.0.1:1 }} ] }} }}\n\
         routes: [ {{ match: {{ path: /none }}, service: echo }} ]\n",
        PORTS.replace("address: 127.0.0.1:0 } ]", &listener)
    )
}

/// What `openssl s_client` says of a request over a connection with these arguments.
pub async fn s_client(to: SocketAddr, authority: &Authority, arguments: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &to.to_string(), "-CAfile", "ca.pem", "-ign_eof"]);
    command.args(arguments.split_whitespace()).current_dir(authority.folder());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = move || {
        let mut child = command.spawn().expect("the tests of TLS need openssl");
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let _ = child.stdin.take().unwrap().write_all(request); // it may have given up
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Whether the handshake has succeeded and the request was answered.
pub fn is_answered(said: &str) -> bool {
    said.contains("HTTP/1.1 404 ")
}

/// An RSA key, which rcgen does not make.
fn rsa_key() -> KeyPair {
    let output = Command::new("openssl").args(["genrsa", "2048"]).output().unwrap();
    KeyPair::from_pem(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

#[tokio::test]
async fn each_name_gets_its_certificate() {
    let authority = Authority::new();
    authority.issue_as("first", &["first.test"]);
    authority.issue_as("ecdsa", &["shop.test", "www.shop.test"]);
    authority.issue_with("rsa", &["shop.test"], &rsa_key());
    authority.issue_as("wild", &["*.shop.test"]);
    let list = ["first", "ecdsa", "rsa", "wild"]
        .map(|name| format!("{{ cert: {name}.pem, key: {name}.key }}"))
        .join(", ");
    let tls = format!("certificates: [ {list} ]");
    let gateway = Gateway::start_in(&yaml(&tls, ""), authority.folder()).await;
    let rsa12 = "-servername shop.test -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256";
    for (arguments, name) in [
        ("-noservername", "first"),
        ("-servername first.test", "first"),
        ("-servername shop.test", "ecdsa"),
        ("-servername SHOP.test", "ecdsa"),
        ("-servername shop.test -tls1_2", "ecdsa"),
        ("-servername shop.test -sigalgs rsa_pss_rsae_sha256", "rsa"),
        (rsa12, "rsa"),
        ("-servername www.shop.test", "ecdsa"),
        ("-servername a.shop.test", "wild"),
        ("-servername b.a.shop.test", "first"),
        ("-servername other.test", "first"),
    ] {
        let said = s_client(gateway.front(), &authority, arguments).await;
        assert!(is_answered(&said), "{arguments}: {said}");
        assert!(said.contains(&format!("subject=CN = {name}\n")), "{arguments}: {said}");
        assert!(said.contains("Verify return code: 0 (ok)"), "{arguments}: {said}");
    }
    let strict = format!("{tls}, unknown_names: refuse");
    let gateway = Gateway::start_in(&yaml(&strict, ""), authority.folder()).await;
    let said = s_client(gateway.front(), &authority, "-servername other.test").await;
    assert!(!is_answered(&said) && said.contains("no peer certificate available"), "{said}");
    let said = s_client(gateway.front(), &authority, "-noservername").await;
    assert!(is_answered(&said), "{said}");
}

#[tokio::test]
async fn nothing_weak_is_offered() {
    let authority = Authority::new();
    authority.issue_as("server", &["gateway.test"]);
    authority.issue_with("rsa", &["gateway.test"], &rsa_key());
    let tls =
        "cert: server.pem, key: server.key, certificates: [ { cert: rsa.pem, key: rsa.key } ]";
    let gateway = Gateway::start_in(&yaml(tls, ""), authority.folder()).await;
    let weak = [
        "-tls1_1 -cipher DEFAULT@SECLEVEL=0",
        "-tls1 -cipher DEFAULT@SECLEVEL=0",
        "-tls1_2 -cipher AES128-SHA:AES256-SHA:AES128-GCM-SHA256:AES256-GCM-SHA384@SECLEVEL=0",
        "-tls1_2 -cipher ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-ECDSA-AES128-SHA256@SECLEVEL=0",
        "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256:ADH-AES128-GCM-SHA256:NULL@SECLEVEL=0",
        "-tls1_2 -cipher DEFAULT@SECLEVEL=0 -sigalgs ECDSA+SHA1:RSA+SHA1",
        "-tls1_2 -groups secp521r1",
    ];
    for arguments in weak {
        let said = s_client(gateway.front(), &authority, arguments).await;
        assert!(!is_answered(&said), "{arguments}: {said}");
        assert!(said.contains("no peer certificate available"), "{arguments}: {said}");
    }
    let strict = "cert: server.pem, key: server.key, min_version: TLSv1.3, \
                  suites: [ TLS_AES_128_GCM_SHA256 ], alpn: [ http/1.1 ]";
    let gateway = Gateway::start_in(&yaml(strict, ""), authority.folder()).await;
    for (arguments, part) in [
        ("-tls1_2", None),
        ("-ciphersuites TLS_CHACHA20_POLY1305_SHA256", None),
        ("-alpn h2", None),
        ("-alpn h2,http/1.1", Some("ALPN protocol: http/1.1")),
        ("", Some("Cipher is TLS_AES_128_GCM_SHA256")),
    ] {
        let said = s_client(gateway.front(), &authority, arguments).await;
        assert_eq!(is_answered(&said), part.is_some(), "{arguments}: {said}");
        assert!(said.contains(part.unwrap_or_default()), "{arguments}: {said}");
    }
}

#[tokio::test]
async fn openssl_resumes_on_every_worker_and_after_a_reload() {
    let authority = Authority::new();
    authority.issue("server", "gateway.test");
    let tls = "cert: server.pem, key: server.key";
    for version in ["-tls1_3", "-tls1_2"] {
        let mut gateway = Gateway::start_in(&yaml(tls, ""), authority.folder()).await;
        let first = format!("{version} -servername gateway.test -sess_out session.pem");
        let again = format!("{version} -servername gateway.test -sess_in session.pem");
        let said = s_client(gateway.front(), &authority, &first).await;
        assert!(said.contains("New, TLSv1."), "{said}");
        // Each that is held open sends the next one to the other worker.
        let mut held = Vec::new();
        for _ in 0..4 {
            let said = s_client(gateway.front(), &authority, &again).await;
            assert!(said.contains("Reused, TLSv1.") && is_answered(&said), "{said}");
            held.push(tokio::net::TcpStream::connect(gateway.front()).await.unwrap());
        }
        authority.issue("server", "gateway.test");
        let other = format!("{tls}, certificates: [ {{ cert: other.pem, key: other.key }} ]");
        authority.issue("other", "other.test");
        assert!(gateway.reload_in(&yaml(&other, ""), authority.folder()).await);
        let said = s_client(gateway.front(), &authority, &again).await;
        assert!(said.contains("Reused, TLSv1.") && is_answered(&said), "{said}");
        let other = again.replace("gateway.test", "other.test");
        let said = s_client(gateway.front(), &authority, &other).await;
        assert!(said.contains("New, TLSv1."), "another name is another session: {said}");
    }
}
