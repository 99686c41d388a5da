//! TLS towards clients and towards backends.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::{ClientTlsConfig, Endpoint, ServerTlsConfig};

use crate::support::backend::{Backend, Options};
use crate::support::certificates::Authority;
use crate::support::client::{Client, connect, connect_to, message};
use crate::support::gateway::{Gateway, PORTS};
use crate::support::process::Process;
use crate::support::{eventually, pattern, soon};

/// A gateway that speaks TLS on both sides and wants clients' certificates.
async fn guarded(authority: &Authority) -> (Backend, Gateway) {
    authority.issue("server", "gateway.test");
    authority.issue("client", "client.test");
    let backend = authority.issue("backend", "backend.test");
    let tls = ServerTlsConfig::new().identity(backend).client_ca_root(authority.certificate());
    let backend = Backend::with(Options { tls: Some(tls), ..Options::default() }).await;
    let tls = "tls: { cert: server.pem, key: server.key, client_ca: ca.pem }";
    let ports =
        PORTS.replace("address: 127.0.0.1:0 } ]", &format!("address: 127.0.0.1:0, {tls} }} ]"));
    let yaml = format!(
        "{ports}services:\n  echo:\n    tls: {{ ca: ca.pem, cert: client.pem, key: client.key, \
         server_name: backend.test }}\n    endpoints: [ {{ address: {} }} ]\n\
         routes: [ {{ service: echo }} ]\n",
        backend.address
    );
    (backend, Gateway::start_in(&yaml, authority.folder()).await)
}

fn endpoint(gateway: &Gateway, tls: ClientTlsConfig) -> Endpoint {
    let endpoint = Endpoint::from_shared(format!("https://{}", gateway.front())).unwrap();
    endpoint.tls_config(tls.domain_name("gateway.test")).unwrap()
}

#[tokio::test]
async fn calls_pass_with_certificates_on_both_sides() {
    let authority = Authority::new();
    let (_backend, gateway) = guarded(&authority).await;
    let identity = authority.issue("caller", "caller.test");
    let tls = ClientTlsConfig::new().ca_certificate(authority.certificate()).identity(identity);
    let mut client = connect_to(endpoint(&gateway, tls)).await;
    let answer = client.unary(message("sealed")).await.unwrap().into_inner();
    assert_eq!(answer.payload, b"sealed");
    let large = pattern(8 << 20);
    let answer = client.unary(message(large.clone())).await.unwrap().into_inner();
    assert!(answer.payload == large);
    let parts = tokio_stream::iter((0..100u8).map(|i| message(vec![i; 1000])));
    let mut answers = client.bidi(parts).await.unwrap().into_inner();
    for i in 0..100 {
        assert_eq!(answers.message().await.unwrap().unwrap().payload, vec![i; 1000]);
    }
}

#[tokio::test]
async fn clients_without_a_certificate_of_the_authority_are_turned_away() {
    let authority = Authority::new();
    let (backend, gateway) = guarded(&authority).await;
    let none = ClientTlsConfig::new().ca_certificate(authority.certificate());
    let stranger = Authority::new().issue("stranger", "stranger.test");
    let strange = none.clone().identity(stranger);
    for tls in [none, strange] {
        // With TLS 1.3 a client learns only from its first read that it is not wanted.
        let refused = match endpoint(&gateway, tls).connect().await {
            Err(_) => true,
            Ok(channel) => Client::new(channel).unary(message("x")).await.is_err(),
        };
        assert!(refused);
    }
    assert_eq!(backend.seen.requests(), 0);
}

#[tokio::test]
async fn a_client_without_h2_speaks_http1() {
    let authority = Authority::new();
    authority.issue("server", "gateway.test");
    let tls = "tls: { cert: server.pem, key: server.key }";
    let ports =
        PORTS.replace("address: 127.0.0.1:0 } ]", &format!("address: 127.0.0.1:0, {tls} }} ]"));
    let yaml = format!(
        "{ports}services: {{ echo: {{ endpoints: [ {{ address: 127.0.0.1:1 }} ] }} }}\n\
         routes: [ {{ service: echo }} ]\n"
    );
    let gateway = Gateway::start_in(&yaml, authority.folder()).await;
    for alpn in [&[][..], &[b"http/1.1".to_vec()][..]] {
        let pem = std::fs::read(authority.folder().join("ca.pem")).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        use rustls::pki_types::pem::PemObject as _;
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.to_vec();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let socket = TcpStream::connect(gateway.front()).await.unwrap();
        let name = "gateway.test".try_into().unwrap();
        let mut stream = connector.connect(name, socket).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("the connection is closed", stream.read_to_end(&mut answer)).await;
        assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", answer.escape_ascii());
    }
}

#[tokio::test]
async fn a_backend_with_another_name_is_not_trusted() {
    let authority = Authority::new();
    let identity = authority.issue("backend", "other.test");
    let tls = Some(ServerTlsConfig::new().identity(identity));
    let backend = Backend::with(Options { tls, ..Options::default() }).await;
    let yaml = format!(
        "{PORTS}services:\n  echo:\n    tls: {{ ca: ca.pem, server_name: backend.test }}\n    \
         endpoints: [ {{ address: {} }} ]\nroutes: [ {{ service: echo }} ]\n",
        backend.address
    );
    let gateway = Gateway::start_in(&yaml, authority.folder()).await;
    let status = gateway.client().await.unary(message("x")).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
    assert_eq!(backend.seen.requests(), 0);
}

/// Clear text to a port with TLS ends, and does no harm to others.
#[tokio::test]
async fn clear_text_is_not_spoken_with() {
    let authority = Authority::new();
    let (_backend, gateway) = guarded(&authority).await;
    let mut socket = TcpStream::connect(gateway.front()).await.unwrap();
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("the connection is closed", socket.read_to_end(&mut answer)).await;
    let identity = authority.issue("caller", "caller.test");
    let tls = ClientTlsConfig::new().ca_certificate(authority.certificate()).identity(identity);
    let mut client = connect_to(endpoint(&gateway, tls)).await;
    client.unary(message("x")).await.unwrap();
}

#[tokio::test]
async fn backends_are_told_by_their_spiffe_id_and_not_when_revoked() {
    let authority = Authority::new();
    let identity = authority.issue_as("backend", &["other.test", "spiffe://shop/orders"]);
    let tls = Some(ServerTlsConfig::new().identity(identity));
    let backend = Backend::with(Options { tls, ..Options::default() }).await;
    authority.revoke("some.crl", &["another"], 2050);
    authority.revoke("backend.crl", &["backend"], 2050);
    authority.revoke("old.crl", &["another"], 2025);
    let stranger = Authority::new();
    std::fs::copy(stranger.folder().join("ca.pem"), authority.folder().join("no.pem")).unwrap();
    for (tls, trusted) in [
        ("ca: ca.pem, spiffe: \"spiffe://shop/orders\"", true),
        ("ca: ca.pem, spiffe: \"spiffe://shop/*\", crls: [ some.crl ]", true),
        ("ca: ca.pem, spiffe: \"spiffe://shop/carts\"", false),
        ("ca: no.pem, spiffe: \"spiffe://shop/orders\"", false),
        ("ca: ca.pem, spiffe: \"spiffe://shop/orders\", crls: [ backend.crl ]", false),
        ("ca: ca.pem, server_name: other.test, crls: [ backend.crl ]", false),
        ("ca: ca.pem, server_name: other.test, crls: [ old.crl ]", false),
        ("ca: ca.pem, server_name: other.test, crls: [ old.crl ], expired_crls: apply", true),
    ] {
        let yaml = format!(
            "{PORTS}services:\n  echo:\n    tls: {{ {tls} }}\n    endpoints: [ {{ address: {} }} ]\n\
             routes: [ {{ service: echo }} ]\n",
            backend.address
        );
        let gateway = Gateway::start_in(&yaml, authority.folder()).await;
        let answered = gateway.client().await.unary(message("x")).await.is_ok();
        assert_eq!(answered, trusted, "{tls}");
    }
}

#[tokio::test]
async fn the_authorities_of_the_system_are_read_anew_at_a_reload() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let tls = Some(ServerTlsConfig::new().identity(authority.issue("backend", "backend.test")));
    let backend = Backend::with(Options { tls, ..Options::default() }).await;
    let folder = authority.folder();
    let (system, file) = (folder.join("system.pem"), folder.join("gateway.yaml"));
    let trust = |who: &Authority| std::fs::copy(who.folder().join("ca.pem"), &system).unwrap();
    trust(&stranger);
    let yaml = format!(
        "{PORTS}log: {{ format: json }}\nservices:\n  echo:\n    tls: {{ ca: system, server_name: backend.test }}\n    \
         endpoints: [ {{ address: {} }} ]\nroutes: [ {{ service: echo }} ]\n",
        backend.address
    );
    std::fs::write(&file, yaml).unwrap();
    let gateway = Process::with_variable(&file, "SSL_CERT_FILE", &system).await;
    let mut client = connect(gateway.front).await;
    assert_eq!(client.unary(message("x")).await.unwrap_err().code(), tonic::Code::Unavailable);
    trust(&authority);
    gateway.hang_up();
    eventually("it is trusted", async || client.unary(message("x")).await.is_ok()).await;
}
