//! How connections to the endpoints of one service are made.

use std::sync::Arc;
use std::time::Duration;

use crate::http::Limits;

/// The version of HTTP that endpoints speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1: one request at a time on a connection.
    Http1,
    /// HTTP/2.
    #[default]
    Http2,
}

impl Version {
    /// Its name in ALPN.
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Version::Http1 => b"http/1.1",
            Version::Http2 => b"h2",
        }
    }
}

/// How connections to the endpoints of one service are made and how many there may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What the endpoints speak.
    pub version: Version,
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
    /// The client's side of the handshake, with the version of HTTP alone in its ALPN.
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

impl Settings {
    /// Goes on with the TLS sessions of `before` if the same is asked of TLS.
    pub fn keep_sessions_of(&mut self, before: &Settings) {
        if self.tls == before.tls {
            self.tls.clone_from(&before.tls);
        }
    }

    /// For endpoints that speak HTTP/1.1, of whose connections each carries one request.
    pub fn http1() -> Settings {
        Settings { version: Version::Http1, max_connections: 1024, ..Settings::default() }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            version: Version::default(),
            connect_timeout: Duration::from_secs(1),
            max_connections: 8,
            max_pending: 1024,
            pending_timeout: Duration::from_secs(1),
            tls: None,
            limits: Arc::new(Limits::upstream()),
        }
    }
}
