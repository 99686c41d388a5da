//! How a client has come: by which socket, and with which certificate.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::access::{CertificateNames, Identity, Unidentified};
use crate::model::Peer;

/// An I/O stream of a connection.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}

/// A stream of accepted connections.
pub trait Clients<S>: Stream<Item = io::Result<(S, Arrival)>> + Unpin {}

impl<S, C: Stream<Item = io::Result<(S, Arrival)>> + Unpin> Clients<S> for C {}

/// The socket that a client has come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// TCP, from this address.
    Tcp(SocketAddr),
    /// A Unix socket; the kernel says who has connected.
    Unix {
        /// The user.
        user: u32,
        /// The process, if the system tells it.
        process: Option<i32>,
    },
}

/// As in the log: an address, or `unix`.
impl Display for Arrival {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Arrival::Tcp(address) => address.fmt(f),
            Arrival::Unix { .. } => Peer::Unix.fmt(f),
        }
    }
}

/// Who a client certificate is for, and until when.
#[derive(Clone, Debug)]
pub(super) struct Certified {
    pub who: Result<Identity, Unidentified>,
    pub until: SystemTime,
    chain: Arc<[CertificateDer<'static>]>,
    /// The settings by which it was last found not to have been revoked.
    checked: Arc<AtomicU64>,
}

impl Certified {
    /// By a chain that has been verified.
    pub fn by(chain: &[CertificateDer<'_>]) -> Option<Certified> {
        let certificate = chain.first()?;
        let mut names = CertificateNames::default();
        let mut until = SystemTime::UNIX_EPOCH;
        if let Ok((_, certificate)) = X509Certificate::from_der(certificate) {
            let end = certificate.validity().not_after.timestamp();
            until += Duration::from_secs(u64::try_from(end).unwrap_or_default());
            if let Ok(Some(listed)) = certificate.subject_alternative_name() {
                for name in &listed.value.general_names {
                    match name {
                        GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                        GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                        // It cannot be read as text, and so is no name of anybody.
                        GeneralName::Invalid(..) => names.uris.push(String::new()),
                        _ => {}
                    }
                }
            }
        }
        let who = Identity::of_certificate(&names);
        let chain = chain.iter().map(|one| one.clone().into_owned()).collect();
        Some(Certified { who, until, chain, checked: Arc::default() })
    }

    /// Whether it has been revoked since, by settings of this number. One whose authority is believed no
    /// more is not: connections outlive the rotation of authorities.
    pub fn is_revoked(
        &self,
        verifier: &dyn ClientCertVerifier,
        settings: u64,
        now: SystemTime,
    ) -> bool {
        if self.checked.load(Relaxed) == settings {
            return false;
        }
        let Some((own, between)) = self.chain.split_first() else { return false };
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let verified = verifier.verify_client_cert(own, between, UnixTime::since_unix_epoch(now));
        let revoked = Error::InvalidCertificate(CertificateError::Revoked);
        if verified.is_err_and(|error| error == revoked) {
            return true;
        }
        self.checked.store(settings, Relaxed);
        false
    }
}

/// A connection, in clear text or TLS.
pub(super) enum Transport<S> {
    Clear(S),
    Tls(Box<TlsStream<S>>),
}

impl<S: Socket> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl<S: Socket> AsyncWrite for Transport<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Clear(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
