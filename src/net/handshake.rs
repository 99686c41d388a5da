//! What comes before HTTP on a client's connection: a header of the PROXY protocol, and TLS.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use rustls::server::Acceptor;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use super::accept::ListenerSpec;
use super::io::Io;
use super::proxy_protocol::{self, HeaderError, Others, Progress};
use super::socket::{Detached, Socket, unsent};
use super::tls::{ClientCertificate, Pace};
use crate::model::{ConnectionRefusal, Peer};

/// Why a connection did not come as far as HTTP.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It failed, or TLS did.
    #[error("handshake failed: {0}")]
    Io(#[from] io::Error),
    /// TLS, or the header before it, was not complete within the handshake time-out.
    #[error("the handshake took longer than `handshake_timeout`")]
    TooLong,
    /// Its peer is not among those that `proxy_protocol` trusts.
    #[error("it comes from {0}, which `proxy_protocol` does not trust")]
    Untrusted(Peer),
    /// It has no header to go by.
    #[error("{1}; it comes from {0}")]
    Header(Peer, #[source] HeaderError),
    /// Its peer said nothing for too long, where a header is due.
    #[error("no header of the PROXY protocol came within `handshake_timeout`; it comes from {0}")]
    Silent(Peer),
}

impl HandshakeError {
    /// As which refusal it counts, if it is one: the peer has no business here.
    pub fn refusal(&self) -> Option<ConnectionRefusal> {
        match self {
            HandshakeError::Untrusted(_) => Some(ConnectionRefusal::Untrusted),
            HandshakeError::Header(..) | HandshakeError::Silent(_) => {
                Some(ConnectionRefusal::ProxyHeader)
            }
            HandshakeError::Io(_) | HandshakeError::TooLong => None,
        }
    }
}

/// A connection that has come as far as HTTP.
pub struct Greeted {
    /// Its transport.
    pub io: Io,
    /// Whose it is: the socket's peer, or the one that a trusted peer tells of.
    pub peer: Peer,
    /// The client's certificate.
    pub certificate: Option<ClientCertificate>,
}

/// Makes a transport of an accepted socket of `peer`.
pub async fn handshake(
    stream: Detached,
    peer: Peer,
    spec: &ListenerSpec,
    pace: &Pace,
) -> Result<Greeted, HandshakeError> {
    let mut stream = stream.attach()?;
    stream.watch_liveness(&spec.limits)?;
    stream.bound_unsent(unsent(0))?;
    let patience = spec.limits.handshake_timeout;
    let client = match &spec.proxy_protocol {
        None => peer,
        Some(protocol) if protocol.trusts(peer) => {
            let told = timeout(patience, read_header(&mut stream, peer)).await;
            told.map_err(|_| HandshakeError::Silent(peer))??
        }
        Some(protocol) if protocol.others == Others::Pass => peer,
        Some(_) => return Err(HandshakeError::Untrusted(peer)),
    };
    let Some(tls) = &spec.tls else {
        return Ok(Greeted { io: Io::Plain(stream), peer: client, certificate: None });
    };
    let accept = async {
        let _place = pace.begin().await?;
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let config = Arc::clone(tls.config());
        pace.compute(|| hello.into_stream(config)).await?.await
    };
    let stream = timeout(patience, accept).await.map_err(|_| HandshakeError::TooLong)??;
    let certificate = tls.client(stream.get_ref().1, &spec.forwarding)?;
    Ok(Greeted { io: Io::Tls(Box::new(stream.into())), peer: client, certificate })
}

/// Reads the header, and no byte beyond it.
async fn read_header(stream: &mut Socket, peer: Peer) -> Result<Peer, HandshakeError> {
    let mut header = Vec::new();
    loop {
        let progress = proxy_protocol::parse(&header);
        match progress.map_err(|error| HandshakeError::Header(peer, error))? {
            Progress::Complete(told) => return Ok(told.map_or(peer, Peer::from)),
            Progress::Incomplete(missing) => {
                let mut rest = (&mut *stream).take(missing as u64);
                if rest.read_buf(&mut header).await? > 0 {
                    continue;
                }
                // Load balancers look whether somebody listens, and say nothing.
                return Err(match header.is_empty() {
                    true => ErrorKind::UnexpectedEof.into(),
                    false => HandshakeError::Header(peer, HeaderError::Malformed),
                });
            }
        }
    }
}

impl From<ErrorKind> for HandshakeError {
    fn from(kind: ErrorKind) -> HandshakeError {
        HandshakeError::Io(kind.into())
    }
}
