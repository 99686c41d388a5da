//! Certificates and authorities are renewed while requests come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::yaml;
use crate::support::certificates::Authority;
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::http1::Recorder;

/// A client that believes `authorities` and has the certificate `caller` of the first of them.
fn client(authorities: &[&Authority]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let file = |authority: &Authority, name: &str| authority.folder().join(name);
    for authority in authorities {
        roots.add(CertificateDer::from_pem_file(file(authority, "ca.pem")).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_file(file(authorities[0], "caller.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file(authorities[0], "caller.key")).unwrap();
    let builder = builder.with_root_certificates(roots);
    TlsConnector::from(Arc::new(builder.with_client_auth_cert(chain, key).unwrap()))
}

/// One request on a connection of its own.
async fn request(to: std::net::SocketAddr, client: &TlsConnector) -> std::io::Result<bool> {
    let socket = TcpStream::connect(to).await?;
    let mut stream = client.connect("gateway.test".try_into().unwrap(), socket).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_certificates_and_authorities_change() {
    let [old, new] = [Authority::new(), Authority::new()];
    let folder = old.folder();
    for authority in [&old, &new] {
        authority.issue("server", "gateway.test");
        authority.issue("caller", "caller.test");
    }
    let of_new = |name: &str| std::fs::read(new.folder().join(name)).unwrap();
    std::fs::write(folder.join("server2.pem"), of_new("server.pem")).unwrap();
    std::fs::write(folder.join("server2.key"), of_new("server.key")).unwrap();
    let both = [std::fs::read(folder.join("ca.pem")).unwrap(), of_new("ca.pem")].concat();
    std::fs::write(folder.join("both.pem"), both).unwrap();
    old.revoke("some.crl", &["nobody"], 2050);
    let backend = Recorder::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let with = |server: &str, ca: &str| {
        yaml(&format!("cert: {server}.pem, key: {server}.key, client_ca: {ca}"), "")
            .replace("match: { path: /none }, ", "")
            .replace("127.0.0.1:1 }", &format!("{} }}", backend.address))
            .replace("echo: {", "echo: { protocol: http1,")
    };
    let mut gateway = Gateway::start_in(&with("server", "both.pem"), folder).await;
    let (to, [good, failed]) = (gateway.front(), [(); 2].map(|()| Arc::<AtomicUsize>::default()));
    let clients = [client(&[&old, &new]), client(&[&new, &old])];
    let running: Vec<_> = (0..4)
        .map(|number| {
            let client = clients[number % 2].clone();
            let [good, failed] = [Arc::clone(&good), Arc::clone(&failed)];
            tokio::spawn(async move {
                loop {
                    match request(to, &client).await {
                        Ok(true) => good.fetch_add(1, Relaxed),
                        other => {
                            eprintln!("a request failed: {other:?}");
                            failed.fetch_add(1, Relaxed)
                        }
                    };
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    for step in 0..6 {
        let before = good.load(Relaxed);
        eventually("requests pass", async || good.load(Relaxed) >= before + 40).await;
        let (server, rest) = match step % 3 {
            0 => ("server2", "both.pem"),
            1 => ("server", "both.pem, client_crls: [ some.crl ]"),
            _ => ("server", "both.pem, min_version: TLSv1.3"),
        };
        old.issue("server", "gateway.test");
        assert!(gateway.reload_in(&with(server, rest), folder).await);
    }
    let before = good.load(Relaxed);
    eventually("requests pass", async || good.load(Relaxed) >= before + 40).await;
    running.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(failed.load(Relaxed), 0);
}
