//! TLS session resumption across reloads, for clients and backends.

use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::certificates::Authority;
use crate::support::gateway::{Gateway, PORTS};

fn certificate(authority: &Authority, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(authority.folder().join(format!("{name}.pem"))).unwrap()
}

fn key(authority: &Authority, name: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(authority.folder().join(format!("{name}.key"))).unwrap()
}

/// A client that trusts the authority, has its certificate `caller`, and caches sessions.
fn client(
    authority: &Authority,
    version: &'static rustls::SupportedProtocolVersion,
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(authority, "ca")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
    let chain = vec![certificate(authority, "caller")];
    TlsConnector::from(Arc::new(
        builder.with_client_auth_cert(chain, key(authority, "caller")).unwrap(),
    ))
}

/// The handshake kind of one request; `None` if it failed.
async fn handshake(gateway: &Gateway, client: &TlsConnector) -> Option<HandshakeKind> {
    let socket = TcpStream::connect(gateway.front()).await.unwrap();
    let name = "gateway.test".try_into().unwrap();
    let mut stream = client.connect(name, socket).await.ok()?;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new(); // with TLS 1.3 the session ticket comes before it
    stream.read_to_end(&mut answer).await.ok()?;
    stream.get_ref().1.handshake_kind()
}

fn guarded(client_ca: &str, rest: &str) -> String {
    let tls = format!("tls: {{ cert: server.pem, key: server.key{client_ca} }}");
    let ports =
        PORTS.replace("address: 127.0.0.1:0 } ]", &format!("address: 127.0.0.1:0, {tls} }} ]"));
    format!(
        "{ports}{rest}services: {{ echo: {{ endpoints: [ {{ address: 127.0.0.1:1 }} ] }} }}\n\
         routes: [ {{ service: echo }} ]\n"
    )
}

#[tokio::test]
async fn clients_go_on_with_theirs_unless_others_are_believed() {
    use HandshakeKind::{Full, Resumed};
    let authority = Authority::new();
    let folder = authority.folder();
    authority.issue("server", "gateway.test");
    authority.issue("caller", "caller.test");
    let stranger = Authority::new();
    let both = std::fs::read_to_string(folder.join("ca.pem")).unwrap()
        + &std::fs::read_to_string(stranger.folder().join("ca.pem")).unwrap();
    std::fs::write(folder.join("both.pem"), both).unwrap();
    std::fs::copy(stranger.folder().join("ca.pem"), folder.join("stranger.pem")).unwrap();
    let asking = |file: &str| guarded(&format!(", client_ca: {file}"), "");

    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut gateway = Gateway::start_in(&asking("ca.pem"), folder).await;
        let client = client(&authority, version);
        assert_eq!(handshake(&gateway, &client).await, Some(Full));
        assert_eq!(handshake(&gateway, &client).await, Some(Resumed));
        let commented = asking("ca.pem")
            + "# a comment, and a setting that is no key of TLS\ndrain_timeout: 5s\n";
        assert!(gateway.reload_in(&commented, folder).await);
        assert_eq!(handshake(&gateway, &client).await, Some(Resumed));
        authority.issue("server", "gateway.test");
        assert!(gateway.reload_in(&commented, folder).await);
        assert_eq!(handshake(&gateway, &client).await, Some(Resumed), "a renewed certificate");

        assert!(gateway.reload_in(&asking("both.pem"), folder).await);
        assert_eq!(handshake(&gateway, &client).await, Some(Full), "others are believed too");
        assert_eq!(handshake(&gateway, &client).await, Some(Resumed));
        assert!(gateway.reload_in(&asking("stranger.pem"), folder).await);
        assert_eq!(handshake(&gateway, &client).await, None, "no longer believed");
        assert!(gateway.reload_in(&guarded("", ""), folder).await);
        assert_eq!(handshake(&gateway, &client).await, Some(Full), "nobody is asked");
        assert!(gateway.reload_in(&asking("ca.pem"), folder).await);
        assert_eq!(handshake(&gateway, &client).await, Some(Full), "and again");
    }
}

/// A backend with the authority's certificate `backend` that closes each connection after one
/// response; returns its address and a log of its handshakes.
async fn backend(authority: &Authority) -> (std::net::SocketAddr, Arc<Mutex<Vec<HandshakeKind>>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![certificate(authority, "backend")];
    let config = builder.with_single_cert(chain, key(authority, "backend")).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&kinds);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => request.push(byte),
                    Err(_) => break,
                }
            }
            if request.is_empty() {
                continue; // a connection without a request
            }
            seen.lock().unwrap().push(stream.get_ref().1.handshake_kind().unwrap());
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, kinds)
}

async fn get(gateway: &Gateway) {
    let mut socket = TcpStream::connect(gateway.front()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
}

#[tokio::test]
async fn sessions_with_backends_outlive_other_settings_and_comments() {
    let authority = Authority::new();
    let folder = authority.folder();
    authority.issue("backend", "backend.test");
    let (address, kinds) = backend(&authority).await;
    let to = |settings: &str| {
        format!(
            "{}services:\n  echo:\n    protocol: http1\n    connect_timeout: 60s\n    \
             tls: {{ ca: ca.pem, server_name: backend.test }}\n    {settings}\n    \
             endpoints: [ {{ address: {address} }} ]\nroutes: [ {{ service: echo }} ]\n",
            PORTS.replace("workers: 2", "workers: 1"),
        )
    };
    let mut gateway = Gateway::start_in(&to("max_pending: 10"), folder).await;
    let last = || *kinds.lock().unwrap().last().unwrap();
    get(&gateway).await;
    get(&gateway).await;
    assert_eq!(last(), HandshakeKind::Resumed);
    let ca = std::fs::read_to_string(folder.join("ca.pem")).unwrap();
    std::fs::write(folder.join("ca.pem"), format!("# of the backends\n{ca}")).unwrap();
    assert!(gateway.reload_in(&to("max_pending: 20"), folder).await);
    get(&gateway).await;
    assert_eq!(last(), HandshakeKind::Resumed);
    let stranger = std::fs::read_to_string(Authority::new().folder().join("ca.pem")).unwrap();
    std::fs::write(folder.join("ca.pem"), format!("{ca}{stranger}")).unwrap();
    assert!(gateway.reload_in(&to("max_pending: 20"), folder).await);
    get(&gateway).await;
    assert_eq!(last(), HandshakeKind::Full, "others are believed too");
}
