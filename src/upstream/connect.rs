//! Connecting to an endpoint: TCP or Unix socket, then TLS.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::own::Refusals;
use super::settings::{Settings, Tls, Version};
use crate::dns::LookupError;
use crate::model::SocketAddress;
use crate::net::{Connector, Io, Purpose, Socket};
use crate::text::address;

/// EMFILE and ENFILE: too many open files, in the process and in the system.
const NO_DESCRIPTORS: [i32; 2] = [24, 23];

/// Why connecting failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The connection attempt failed.
    #[error("cannot connect: {0}")]
    Nobody(#[source] io::Error),
    /// Name resolution failed.
    #[error("{0}")]
    Lookup(#[from] LookupError),
    /// The address is malformed.
    #[error("the address is neither host:port nor unix:path")]
    Address,
    /// The address is one of the gateway's own (control or metrics).
    #[error("this gateway's own control API or metrics are there: no connection is made to them")]
    Own,
    /// The address is one of the gateway's listeners for clients.
    #[error("this gateway itself listens there: no connection is made, as requests would go round")]
    Circle,
    /// Out of file descriptors: the last are reserved for control and health.
    #[error("no descriptor is left for connections to backends: raise `ulimit -n`")]
    Descriptors,
    /// TLS failed; the certificate was not accepted, for example.
    #[error("TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    /// ALPN did not negotiate HTTP/2.
    #[error("the endpoint speaks no HTTP/2 under TLS: it did not agree on h2 by ALPN")]
    Alpn,
    /// The address has no valid TLS server name.
    #[error("`{0}` is not a name that a certificate can bear: set tls.server_name")]
    Name(String),
    /// Timeout, TLS and first SETTINGS included.
    #[error("not ready within the connect timeout")]
    Timeout,
    /// The endpoint closed the connection before its first SETTINGS.
    #[error("the endpoint closed the connection at once: does it speak HTTP/2 here?")]
    Refused,
    /// The same after a TLS handshake without a client certificate: typical of an endpoint that
    /// requires one (mTLS).
    #[error(
        "the endpoint closed the connection at once: does it want a client certificate \
         (tls.cert, tls.key), or speak no HTTP/2 here?"
    )]
    RefusedWithoutCertificate,
}

impl ConnectError {
    /// Whether the cause is a lack of resources of this process or machine, not the endpoint.
    pub fn is_ours(&self) -> bool {
        let run_out = |error: &io::Error| {
            let ports = error.kind() == io::ErrorKind::AddrNotAvailable;
            ports || error.raw_os_error().is_some_and(|code| NO_DESCRIPTORS.contains(&code))
        };
        match self {
            ConnectError::Descriptors => true,
            ConnectError::Nobody(error) => run_out(error),
            _ => false,
        }
    }

    /// The error for a connection closed before it was ready.
    pub(super) fn refused(settings: &Settings) -> ConnectError {
        let certified = |tls: &Tls| tls.config.client_auth_cert_resolver.has_certs();
        match &settings.tls {
            Some(tls) if !certified(tls) => ConnectError::RefusedWithoutCertificate,
            _ => ConnectError::Refused,
        }
    }
}

/// Connects to one address of `endpoint` with `connector`, unless it is one of `own`; with TLS if
/// configured.
pub(super) async fn connect(
    connector: &dyn Connector,
    endpoint: &str,
    place: &SocketAddress,
    own: &Refusals,
    settings: &Settings,
) -> Result<Io, ConnectError> {
    // Names were looked at when they were resolved; what a caller may have kept since is looked at here.
    if let Some(address) = place.ip() {
        own.check(|own| own.include(address))?;
    }
    let stream = connector.connect(place.clone()).await.map_err(ConnectError::Nobody)?;
    if let Socket::Unix(stream) = &stream {
        own.check(|own| own.are_reached_by(stream))?;
    }
    if !stream.is_spare(Purpose::Backend) {
        return Err(ConnectError::Descriptors);
    }
    stream.watch_liveness(&settings.limits).map_err(ConnectError::Nobody)?;
    let Some(tls) = &settings.tls else { return Ok(Io::Plain(stream)) };
    let name = server_name(endpoint, tls)?;
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let stream = connector.connect(name, stream).await.map_err(ConnectError::Tls)?;
    // ALPN is optional for HTTP/1.1.
    let agreed = stream.get_ref().1.alpn_protocol();
    if settings.version == Version::Http2 && agreed != Some(Version::Http2.alpn()) {
        return Err(ConnectError::Alpn);
    }
    Ok(Io::Tls(Box::new(stream.into())))
}

fn server_name(endpoint: &str, tls: &Tls) -> Result<ServerName<'static>, ConnectError> {
    if let Some(name) = &tls.server_name {
        return Ok(name.clone());
    }
    if address::socket(endpoint).is_some() {
        return Err(ConnectError::Name(endpoint.to_owned()));
    }
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Name(host.to_owned()))
}
