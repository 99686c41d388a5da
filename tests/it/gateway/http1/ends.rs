//! How connections of HTTP/1.1 begin and end, and how much they hold.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{OK, gateway_to};
use crate::support::certificates::Authority;
use crate::support::gateway::{Gateway, PORTS, one_service};
use crate::support::http1::{Recorder, Talk, backend};
use crate::support::process::Process;
use crate::support::{eventually, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A gateway to `backend` whose listener is under TLS.
pub async fn tls_gateway(authority: &Authority, backend: SocketAddr) -> Gateway {
    authority.issue("server", "gateway.test");
    let tls = "address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key } } ]";
    let yaml = one_service(&[backend], "protocol: http1").replacen(
        PORTS,
        &PORTS.replace("address: 127.0.0.1:0 } ]", tls),
        1,
    );
    Gateway::start_in(&yaml, authority.folder()).await
}

/// A connection under TLS by a client that offers these protocols.
pub async fn tls_client(
    authority: &Authority,
    front: SocketAddr,
    offered: &[&[u8]],
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(authority.folder().join("ca.pem")).unwrap();
    roots.add(ca).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    let socket = TcpStream::connect(front).await.unwrap();
    let name = ServerName::try_from("gateway.test").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, socket);
    soon("TLS", connecting).await.unwrap()
}

#[tokio::test]
async fn an_http1_client_by_alpn_is_served_over_tls() {
    let authority = Authority::new();
    let recorder = Recorder::answering(OK).await;
    let gateway = tls_gateway(&authority, recorder.address).await;
    for (offered, agreed) in [(&[&b"http/1.1"[..]][..], Some(&b"http/1.1"[..])), (&[], None)] {
        let socket = tls_client(&authority, gateway.front(), offered).await;
        assert_eq!(socket.get_ref().1.alpn_protocol(), agreed);
        let mut client = Talk::on(socket);
        for _ in 0..2 {
            client.send(GET).await;
            let head = client.head().await.unwrap();
            assert_eq!(client.body(&head).await, b"ok", "{head}");
        }
    }
}

#[tokio::test]
async fn on_leaving_what_is_in_flight_is_finished_and_what_is_idle_closed() {
    let open = Arc::new(tokio::sync::Semaphore::new(0));
    let begun = Arc::new(AtomicUsize::new(0));
    let (opened, begun_there) = (Arc::clone(&open), Arc::clone(&begun));
    let address = backend(move |mut talk: Talk<TcpStream>| {
        let (open, begun) = (Arc::clone(&opened), Arc::clone(&begun_there));
        async move {
            while let Some(head) = talk.head().await {
                if head.starts_with("GET /held ") {
                    begun.fetch_add(1, SeqCst);
                    open.acquire().await.unwrap().forget();
                }
                talk.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let mut gateway = Process::start(&one_service(&[address], "protocol: http1")).await;
    let mut idle = Talk::connect(gateway.front).await;
    idle.send(GET).await;
    let head = idle.head().await.unwrap();
    assert_eq!(idle.body(&head).await, b"ok");
    assert!(!head.contains("connection: close"), "{head}");
    let mut held = Talk::connect(gateway.front).await;
    held.send("GET /held HTTP/1.1\r\nHost: h\r\n\r\n").await;
    eventually("the request is there", async || begun.load(SeqCst) == 1).await;

    gateway.terminate();
    assert_eq!(idle.rest().await, b"", "an idle connection ends without a word");
    open.add_permits(1);
    let head = held.head().await.unwrap();
    assert!(head.contains("connection: close\n"), "{head}");
    assert_eq!(held.body(&head).await, b"ok");
    assert_eq!(held.rest().await, b"");
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_backend_is_held_back_while_the_client_does_not_read() {
    const WHOLE: usize = 64 << 20;
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let address = backend(move |mut talk: Talk<TcpStream>| {
        let written = Arc::clone(&counted);
        async move {
            talk.head().await;
            talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {WHOLE}\r\n\r\n")).await;
            while written.load(SeqCst) < WHOLE {
                if talk.socket.write_all(&[7; 64 << 10]).await.is_err() {
                    return;
                }
                written.fetch_add(64 << 10, SeqCst);
            }
            talk.rest().await;
        }
    })
    .await;
    let gateway = Gateway::start(&one_service(&[address], "protocol: http1")).await;
    let mut client = Talk::connect(gateway.front()).await;
    client.send(GET).await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut before = usize::MAX;
    eventually("the backend can write no more", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = written.load(SeqCst);
        std::mem::replace(&mut before, now) == now && now > 0
    })
    .await;
    // Most of it is in the four buffers of the system.
    assert!(before < WHOLE * 3 / 4, "{before} bytes were taken");
    let mut left = WHOLE - client.buffered();
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        let read = soon("more", client.socket.read(&mut buffer)).await.unwrap();
        assert!(read > 0 && buffer[..read].iter().all(|byte| *byte == 7));
        left -= read;
    }
}

#[tokio::test]
async fn requests_without_end_in_their_head_do_not_pass_the_limit() {
    let recorder = Recorder::answering(OK).await;
    let gateway = gateway_to(&recorder).await;
    let mut client = Talk::connect(gateway.front()).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX: ").await;
    client.send("y".repeat(80 << 10)).await;
    let answer = client.rest().await;
    assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(recorder.seen(), "");
}
