//! How connections to the endpoints of one service are made.

use std::sync::Arc;
use std::time::Duration;

use crate::http2::Limits;

/// How connections to the endpoints of one service are made and how many there may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Time to connect, with TLS and the first SETTINGS.
    pub connect_timeout: Duration,
    /// Connections to one endpoint from one worker.
    pub max_connections: usize,
    /// Requests that may wait on one worker for a stream to one endpoint.
    pub max_pending: usize,
    /// How long a request may wait for a stream.
    pub pending_timeout: Duration,
    /// TLS towards the endpoints; clear text without.
    pub tls: Option<Tls>,
    /// What the endpoints may use of us.
    pub limits: Arc<Limits>,
}

/// TLS towards the endpoints.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The client's side of the handshake, ALPN `h2` alone.
    pub config: Arc<rustls::ClientConfig>,
    /// The name that certificates must bear; the endpoint's host without it.
    pub server_name: Option<rustls::pki_types::ServerName<'static>>,
    /// Of the files that `config` was made from: two that have the same are the same.
    pub fingerprint: u64,
}

impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        (self.fingerprint, &self.server_name) == (other.fingerprint, &other.server_name)
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            connect_timeout: Duration::from_secs(1),
            max_connections: 8,
            max_pending: 1024,
            pending_timeout: Duration::from_secs(1),
            tls: None,
            limits: Arc::new(Limits::upstream()),
        }
    }
}
