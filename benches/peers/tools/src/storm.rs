//! New TLS clients at a fixed rate: each makes a whole handshake, and goes. The certificate is not
//! verified: that would be the clients' time, not the gateway's.
//!
//! `peers-storm PORT PER_SECOND SECONDS` prints how many were made.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

/// Clients at a time.
const THREADS: u32 = 8;

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn shake_hands(port: u16, config: &Arc<ClientConfig>) -> std::io::Result<()> {
    let name = "gateway.test".try_into().map_err(std::io::Error::other)?;
    let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    tls.send_close_notify();
    tls.complete_io(&mut socket)?;
    socket.flush()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<u32> =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let [port, rate, seconds] = arguments[..] else { return Err("PORT PER_SECOND SECONDS".into()) };
    let port = u16::try_from(port)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let mut config = config;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    let config = Arc::new(config);
    let start = Instant::now();
    let end = Duration::from_secs(seconds.into());
    let threads: Vec<_> = (0..THREADS)
        .map(|index| {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let (mut made, mut failed) = (0, 0);
                for turn in 0.. {
                    let due = (turn * THREADS + index) as f64 / f64::from(rate);
                    let due = Duration::from_secs_f64(due);
                    if start.elapsed() >= end || due >= end {
                        break;
                    }
                    std::thread::sleep(due.saturating_sub(start.elapsed()));
                    match shake_hands(port, &config) {
                        Ok(()) => made += 1,
                        Err(_) => failed += 1,
                    }
                }
                (made, failed)
            })
        })
        .collect();
    let (mut made, mut failed) = (0, 0);
    for thread in threads {
        let (one, other) = thread.join().map_err(|_| "a thread has ended")?;
        made += one;
        failed += other;
    }
    println!("{} connections in {seconds} real seconds, {failed} failed", made);
    Ok(())
}
