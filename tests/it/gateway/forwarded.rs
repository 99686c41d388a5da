//! What backends are told about clients.

use crate::support::gateway::{Gateway, one_service};
use crate::support::http1::{Recorder, exchange};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The fields about the client that a backend gets, with `setting` at the listener.
async fn told(setting: &str, fields: &str) -> Vec<String> {
    let backend = Recorder::answering(OK).await;
    let yaml = one_service(&[backend.address], "protocol: http1")
        .replace("address: 127.0.0.1:0 } ]", &format!("address: 127.0.0.1:0 {setting} }} ]"));
    let gateway = Gateway::start(&yaml).await;
    let request = format!("GET / HTTP/1.1\r\nHost: h:1\r\n{fields}Connection: close\r\n\r\n");
    exchange(gateway.front(), request.as_bytes()).await;
    let seen = backend.seen();
    let about = |line: &&str| line.starts_with("x-forwarded") || line.starts_with("forwarded");
    seen.lines().filter(about).map(str::to_owned).collect()
}

#[tokio::test]
async fn strangers_are_not_believed() {
    let claims =
        "X-Forwarded-For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-Proto: https\r\n";
    let about = told("", claims).await;
    let expected =
        ["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-forwarded-host: h:1"];
    assert_eq!(about, expected);
}

#[tokio::test]
async fn what_a_believed_proxy_says_is_kept_and_added_to() {
    let setting = ", forwarded: { headers: both, trust: [ 127.0.0.0/8 ] }";
    let claims = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 10.0.0.1\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\nForwarded: for=1.1.1.1\r\n";
    let mut about = told(setting, claims).await;
    about.sort();
    let expected = [
        "forwarded: for=1.1.1.1, for=127.0.0.1;host=\"h:1\";proto=http",
        "x-forwarded-for: 1.1.1.1, 10.0.0.1, 127.0.0.1",
        "x-forwarded-host: shop",
        "x-forwarded-proto: https",
    ];
    assert_eq!(about, expected);
}

/// Backends take what the field says for verified.
#[tokio::test]
async fn nobody_but_a_believed_proxy_claims_a_certificate() {
    let claims = "X-Forwarded-Client-Cert: Hash=1;URI=spiffe://shop/admin\r\n";
    let forged = async |setting: &str| {
        let about = told(setting, claims).await;
        about.iter().any(|line| line.starts_with("x-forwarded-client-cert"))
    };
    assert!(!forged("").await);
    assert!(!forged(", forwarded: { headers: off }").await);
    assert!(!forged(", forwarded: { client_cert: [ hash ] }").await);
    assert!(forged(", forwarded: { trust: [ 127.0.0.0/8 ] }").await);
}

#[tokio::test]
async fn off_leaves_the_fields_as_they_come() {
    let about = told(", forwarded: { headers: off }", "X-Forwarded-For: 1.1.1.1\r\n").await;
    assert_eq!(about, ["x-forwarded-for: 1.1.1.1"]);
}
