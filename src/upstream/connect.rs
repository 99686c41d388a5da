//! Connecting to an endpoint.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::settings::{Settings, Tls, Version};
use crate::net::{Io, watch_liveness};

/// Why there is no connection to an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers there, or the name is unknown.
    #[error("cannot connect: {0}")]
    Tcp(#[source] std::io::Error),
    /// The endpoint did not show that it is who it should be.
    #[error("TLS handshake failed: {0}")]
    Tls(#[source] std::io::Error),
    /// The endpoint does not speak HTTP/2 over TLS.
    #[error("the endpoint speaks no HTTP/2 under TLS: it did not agree on h2 by ALPN")]
    Alpn,
    /// The address has no host that a certificate could name.
    #[error("`{0}` is not a name that a certificate can bear: set tls.server_name")]
    Name(String),
    /// It took too long, with TLS and the first SETTINGS.
    #[error("not ready within the connect timeout")]
    Timeout,
    /// The endpoint ended the connection before its first SETTINGS.
    #[error("the endpoint closed the connection at once: does it speak HTTP/2 here?")]
    Refused,
}

/// Connects to `address`, with TLS if the settings say so; also says which of its addresses it is.
pub(super) async fn connect(
    address: &str,
    settings: &Settings,
) -> Result<(Io, SocketAddr), ConnectError> {
    let stream = TcpStream::connect(address).await.map_err(ConnectError::Tcp)?;
    stream.set_nodelay(true).map_err(ConnectError::Tcp)?;
    let peer = stream.peer_addr().map_err(ConnectError::Tcp)?;
    watch_liveness(&stream, &settings.limits).map_err(ConnectError::Tcp)?;
    let Some(tls) = &settings.tls else { return Ok((Io::Plain(stream), peer)) };
    let name = server_name(address, tls)?;
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let stream = connector.connect(name, stream).await.map_err(ConnectError::Tls)?;
    // Who speaks HTTP/1.1 need not say so.
    let agreed = stream.get_ref().1.alpn_protocol();
    if settings.version == Version::Http2 && agreed != Some(Version::Http2.alpn()) {
        return Err(ConnectError::Alpn);
    }
    Ok((Io::Tls(Box::new(stream.into())), peer))
}

fn server_name(address: &str, tls: &Tls) -> Result<ServerName<'static>, ConnectError> {
    if let Some(name) = &tls.server_name {
        return Ok(name.clone());
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Name(host.to_owned()))
}
