//! A gRPC channel to one member of an etcd cluster, by TCP, with TLS where its URL says so.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use super::{EtcdEndpoint, EtcdTls};
use crate::discovery::SourceError;

/// How often a silent member is sent a PING while a call is open: etcd takes them from 5 s on.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long its answer may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// What may be on its way of one call, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;

/// And of all: more, as a watch that nobody listens to for a moment must not hold up a read.
const CONNECTION_WINDOW: u32 = 4 << 20;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Connects to a member.
pub(super) async fn connect(
    member: &EtcdEndpoint,
    tls: Option<&EtcdTls>,
) -> Result<Channel, SourceError> {
    // The scheme is for the names of requests alone: TLS is made below.
    let endpoint = Endpoint::from_shared(format!("http://{}", member.authority()))
        .map_err(|error| SourceError::new("its address", &error))?
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(false)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW);
    let (address, host) = (member.authority().to_owned(), member.host().to_owned());
    let tls = tls.filter(|_| member.is_https()).cloned();
    if member.is_https() && tls.is_none() {
        return Err(SourceError("`tls` is missing".into())); // which the configuration refuses
    }
    let connector = tower::service_fn(move |_| {
        let (address, host, tls) = (address.clone(), host.clone(), tls.clone());
        async move { open(&address, &host, tls).await.map(TokioIo::new) }
    });
    let connected = endpoint.connect_with_connector(connector).await;
    connected.map_err(|error| SourceError::new("connecting", &error))
}

async fn open(address: &str, host: &str, tls: Option<EtcdTls>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = match tls.server_name {
        Some(name) => name,
        None => ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::other(format!("`{host}` is not a name for a certificate")))?,
    };
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    Ok(Box::new(connector.connect(name, stream).await?))
}
