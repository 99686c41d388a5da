//! Certificates and authorities are renewed while requests come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::yaml;
use crate::support::certificates::Authority;
use crate::support::eventually;
use crate::support::gateway::{Gateway, PORTS};
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

/// Waits until each client has had so many more answers.
async fn all_pass(good: &[Arc<AtomicUsize>], many: usize) {
    for one in good {
        let before = one.load(Relaxed);
        eventually("requests pass", async || one.load(Relaxed) >= before + many).await;
    }
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
    for (authority, file) in [(&old, "old.crl"), (&new, "new.crl")] {
        authority.revoke(file, &["nobody"], 2050);
        let list = std::fs::read(authority.folder().join(file)).unwrap();
        std::fs::write(folder.join(file), list).unwrap();
    }
    let backend = Recorder::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let with = |server: &str, ca: &str| {
        yaml(&format!("cert: {server}.pem, key: {server}.key, client_ca: {ca}"), "")
            .replace("match: { path: /none }, ", "")
            .replace("127.0.0.1:1 }", &format!("{} }}", backend.address))
            .replace("echo: {", "echo: { protocol: http1,")
    };
    let mut gateway = Gateway::start_in(&with("server", "both.pem"), folder).await;
    let (to, failed) = (gateway.front(), Arc::<AtomicUsize>::default());
    let good = [(); 4].map(|()| Arc::<AtomicUsize>::default());
    let clients = [client(&[&old, &new]), client(&[&new, &old])];
    let has_moved = Arc::new(AtomicBool::new(false));
    let running: Vec<_> = good
        .iter()
        .enumerate()
        .map(|(number, good)| {
            let (clients, has_moved) = (clients.clone(), Arc::clone(&has_moved));
            let [good, failed] = [good, &failed].map(Arc::clone);
            tokio::spawn(async move {
                loop {
                    let of_new = number % 2 == 1 || has_moved.load(Relaxed);
                    match request(to, &clients[usize::from(of_new)]).await {
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
        all_pass(&good, 10).await;
        let (server, rest) = match step % 3 {
            0 => ("server2", "both.pem"),
            1 => ("server", "both.pem, client_crls: [ old.crl, new.crl ]"),
            _ => ("server", "both.pem, min_version: TLSv1.3"),
        };
        old.issue("server", "gateway.test");
        assert!(gateway.reload_in(&with(server, rest), folder).await);
    }
    all_pass(&good, 10).await;
    // Everybody has a certificate of the new authority, and the old one goes.
    has_moved.store(true, Relaxed);
    all_pass(&good, 10).await;
    std::fs::write(folder.join("new.pem"), of_new("ca.pem")).unwrap();
    assert!(gateway.reload_in(&with("server2", "new.pem"), folder).await);
    all_pass(&good, 10).await;
    running.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(failed.load(Relaxed), 0);
}

/// A backend of HTTP/1.1 whose certificate may be replaced, and how many requests it has answered.
async fn tls_backend(authority: &Authority) -> (std::net::SocketAddr, Arc<ArcSwap<ServerConfig>>) {
    let config = Arc::new(ArcSwap::from(shown(authority)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shows) = (listener.local_addr().unwrap(), Arc::clone(&config));
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(shows.load_full());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                // Each connection ends after some requests, so that there are new handshakes all the time.
                for left in (0..5).rev() {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => request.push(byte),
                            Err(_) => return,
                        }
                    }
                    let end = if left == 0 { "connection: close\r\n" } else { "" };
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{end}\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, config)
}

/// What a server with the authority's certificate `backend` shows.
fn shown(authority: &Authority) -> Arc<ServerConfig> {
    let file = |name: &str| authority.folder().join(name);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![CertificateDer::from_pem_file(file("backend.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("backend.key")).unwrap();
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_authority_of_backends_is_rotated_away() {
    let [old, new] = [Authority::new(), Authority::new()];
    let folder = old.folder();
    for authority in [&old, &new] {
        authority.issue("backend", "backend.test");
    }
    let ca = |authority: &Authority| std::fs::read(authority.folder().join("ca.pem")).unwrap();
    let [only_old, only_new] = [ca(&old), ca(&new)];
    let both = [only_old.clone(), only_new.clone()].concat();
    let (address, config) = tls_backend(&old).await;
    let yaml = format!(
        "{PORTS}services: {{ echo: {{ protocol: http1, tls: {{ ca: ca.pem, server_name: backend.test }}, \
         connect_timeout: 60s, pending_timeout: 60s, endpoints: [ {{ address: {address} }} ] }} }}\nroutes: [ echo ]\n"
    );
    let mut gateway = Gateway::start_in(&yaml, folder).await;
    let (to, failed) = (gateway.front(), Arc::<AtomicUsize>::default());
    let good = [(); 4].map(|()| Arc::<AtomicUsize>::default());
    let running: Vec<_> = good
        .iter()
        .map(|good| {
            let [good, failed] = [good, &failed].map(Arc::clone);
            tokio::spawn(async move {
                loop {
                    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
                    let answer = crate::support::http1::exchange(to, request).await;
                    match answer.starts_with("HTTP/1.1 200 ") {
                        true => good.fetch_add(1, Relaxed),
                        false => {
                            eprintln!("a request failed: {answer:?}");
                            failed.fetch_add(1, Relaxed)
                        }
                    };
                    tokio::time::sleep(Duration::from_millis(8)).await;
                }
            })
        })
        .collect();
    for _ in 0..2 {
        // Believe both, show the new one, believe it alone; and the other way round.
        for (authority, alone) in [(&new, &only_new), (&old, &only_old)] {
            all_pass(&good, 25).await;
            std::fs::write(folder.join("ca.pem"), &both).unwrap();
            assert!(gateway.reload_in(&yaml, folder).await);
            all_pass(&good, 25).await;
            config.store(shown(authority));
            all_pass(&good, 25).await;
            std::fs::write(folder.join("ca.pem"), alone).unwrap();
            assert!(gateway.reload_in(&yaml, folder).await);
        }
    }
    all_pass(&good, 25).await;
    running.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(failed.load(Relaxed), 0);
}
