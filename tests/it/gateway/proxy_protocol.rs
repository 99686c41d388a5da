//! Load balancers that say by the PROXY protocol whose connection it is.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::certificates::Authority;
use crate::support::gateway::{Gateway, one_service};
use crate::support::http1::Recorder;
use crate::support::{eventually, soon};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &[u8] =
    b"GET / HTTP/1.1\r\nHost: h:1\r\nX-Forwarded-For: 9.9.9.9\r\nConnection: close\r\n\r\n";
const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.7 51234 443\r\n";

/// A header of version 2, with a value that is skipped.
fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let rest = [addresses, &[4, 0, 2, 0, 0]].concat();
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, &rest].concat()
}

async fn behind(setting: &str) -> (Recorder, Gateway) {
    let backend = Recorder::answering(OK).await;
    let yaml = one_service(&[backend.address], "protocol: http1")
        .replace("address: 127.0.0.1:0 } ]", &format!("address: 127.0.0.1:0, {setting} }} ]"));
    let gateway = Gateway::start(&yaml).await;
    (backend, gateway)
}

/// Sends these pieces, and reads to the end.
async fn send(front: SocketAddr, pieces: impl Iterator<Item = &[u8]>) -> String {
    let mut socket = TcpStream::connect(front).await.unwrap();
    socket.set_nodelay(true).unwrap();
    for piece in pieces {
        // The gateway may have closed it already.
        let _ = socket.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    let _ = soon("it is closed", socket.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// What the last request said of its client.
fn client(backend: &Recorder) -> String {
    let seen = backend.seen();
    let mut said = seen.lines().filter_map(|line| line.strip_prefix("x-forwarded-for: "));
    said.next_back().unwrap().to_owned()
}

/// Waits until so many connections were refused for this reason, and none for another.
async fn refused(gateway: &Gateway, reason: &str, expected: f64) {
    eventually(&format!("{expected} are refused as {reason}"), async || {
        let page = gateway.metrics().await;
        let samples = page.samples("equipoise_connections_refused_total");
        let others = samples.iter().filter(|sample| sample.labels["reason"] != reason);
        assert_eq!(others.map(|sample| sample.value).sum::<f64>(), 0.0);
        let of = samples.iter().filter(|sample| sample.labels["reason"] == reason);
        of.map(|sample| sample.value).sum::<f64>() == expected
    })
    .await;
}

#[tokio::test]
async fn the_client_is_whom_the_header_names_however_it_comes() {
    let (backend, gateway) = behind("proxy_protocol: { trust: [ 127.0.0.0/8 ] }").await;
    let six = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mapped = "::ffff:192.0.2.9".parse::<std::net::Ipv6Addr>().unwrap().octets();
    for (header, expected) in [
        (V1.to_vec(), "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::1 ::1 51234 443\r\n".to_vec(), "2001:db8::1"),
        (v2(0x21, 0x11, &[192, 0, 2, 1, 127, 0, 0, 1, 1, 1, 1, 1]), "192.0.2.1"),
        (v2(0x21, 0x21, &[&six[..], &[0; 20]].concat()), "2001:db8::1"),
        (v2(0x21, 0x21, &[&mapped[..], &[0; 20]].concat()), "192.0.2.9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x20, 0x00, b""), "127.0.0.1"),
        (v2(0x21, 0x31, &[b'/'; 216]), "127.0.0.1"),
    ] {
        let stream = [&header[..], GET].concat();
        for size in [1, 13, stream.len()] {
            let answer = send(gateway.front(), stream.chunks(size)).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{header:?} by {size}: {answer}");
            assert_eq!(client(&backend), expected, "{header:?} by {size}");
        }
    }
}

#[tokio::test]
async fn whether_a_client_is_believed_is_a_matter_of_its_own_address() {
    let setting = "proxy_protocol: { trust: [ 127.0.0.1 ] }, forwarded: { trust: [ 192.0.2.1 ] }";
    let (backend, gateway) = behind(setting).await;
    send(gateway.front(), [V1, GET].into_iter()).await;
    assert_eq!(client(&backend), "9.9.9.9, 192.0.2.1");
    let other = b"PROXY TCP4 192.0.2.2 198.51.100.7 51234 443\r\n";
    send(gateway.front(), [&other[..], GET].into_iter()).await;
    assert_eq!(client(&backend), "192.0.2.2");
}

#[tokio::test]
async fn strangers_are_refused_or_served_as_who_they_are() {
    let (_backend, gateway) = behind("proxy_protocol: { trust: [ 10.0.0.0/8 ] }").await;
    assert_eq!(send(gateway.front(), [V1, GET].into_iter()).await, "");
    assert_eq!(send(gateway.front(), [GET].into_iter()).await, "");
    refused(&gateway, "untrusted", 2.0).await;

    let (backend, gateway) =
        behind("proxy_protocol: { trust: [ 10.0.0.0/8 ], others: pass }").await;
    let answer = send(gateway.front(), [GET].into_iter()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(client(&backend), "127.0.0.1");
    let answer = send(gateway.front(), [V1, GET].into_iter()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "it is no header of theirs: {answer}");
    refused(&gateway, "untrusted", 0.0).await;
}

#[tokio::test]
async fn a_balancer_has_to_send_one_and_a_good_one() {
    let limits = "limits: { handshake_timeout: 1s }";
    let (_, gateway) =
        behind(&format!("proxy_protocol: {{ trust: [ 127.0.0.1 ] }}, {limits}")).await;
    let front = gateway.front();
    let long = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
    let huge = [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, 0x11, 0xff, 0xff][..]].concat();
    let bad: [&[u8]; 6] = [
        GET,
        b"PROXY TCP4 1.1.1.1 nonsense 1 1\r\n",
        &long,
        &huge,
        &v2(0x21, 0x12, &[0; 12]),
        b"PROXY TCP4", // and nothing more until the time is up
    ];
    for (index, bytes) in bad.iter().enumerate() {
        assert_eq!(send(front, [*bytes].into_iter()).await, "");
        refused(&gateway, "proxy_header", (index + 1) as f64).await;
    }
    // Whether somebody listens may be looked at.
    drop(TcpStream::connect(front).await.unwrap());
    let answer = send(front, [V1, GET].into_iter()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    refused(&gateway, "proxy_header", bad.len() as f64).await;
}

#[tokio::test]
async fn tls_begins_behind_the_header() {
    let authority = Authority::new();
    authority.issue("server", "gateway.test");
    let backend = Recorder::answering(OK).await;
    let setting = "address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key }, \
                   proxy_protocol: { trust: [ 127.0.0.1 ] } } ]";
    let yaml = one_service(&[backend.address], "protocol: http1")
        .replace("address: 127.0.0.1:0 } ]", setting);
    let gateway = Gateway::start_in(&yaml, authority.folder()).await;
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(authority.folder().join("ca.pem")).unwrap();
    roots.add(ca).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut socket = TcpStream::connect(gateway.front()).await.unwrap();
    socket.write_all(V1).await.unwrap();
    let name = ServerName::try_from("gateway.test").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, socket);
    let mut stream = soon("TLS", connecting).await.unwrap();
    stream.write_all(GET).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("the answer", stream.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(client(&backend), "192.0.2.1");
    assert!(backend.seen().contains("x-forwarded-proto: https"));
}
