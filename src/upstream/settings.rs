//! Connection settings of a service's endpoints.

use std::sync::Arc;
use std::time::Duration;

use crate::http::Limits;
use crate::net::Keepalive;

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

/// Connection settings of a service's endpoints, and the pool's limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// HTTP version of the endpoints.
    pub version: Version,
    /// Connect timeout, TLS and first SETTINGS included.
    pub connect_timeout: Duration,
    /// Connections to one endpoint from one worker.
    pub max_connections: usize,
    /// Requests per worker and endpoint that may wait for a stream.
    pub max_pending: usize,
    /// How long a request may wait for a stream.
    pub pending_timeout: Duration,
    /// TLS towards the endpoints; clear text without.
    pub tls: Option<Tls>,
    /// When silent endpoints are sent PINGs.
    pub keepalive: Keepalive,
    /// Limits of each backend connection.
    pub limits: Arc<Limits>,
}

/// TLS towards the endpoints.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The rustls configuration, with only this HTTP version in its ALPN.
    pub config: Arc<rustls::ClientConfig>,
    /// The name that certificates must match; the endpoint's host if absent.
    pub server_name: Option<rustls::pki_types::ServerName<'static>>,
    /// Hash of the files that `config` was made from; equal ones are interchangeable.
    pub fingerprint: u64,
}

impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        (self.fingerprint, &self.server_name) == (other.fingerprint, &other.server_name)
    }
}

impl Settings {
    /// Takes over the TLS session cache of `before` if the TLS settings are equal.
    pub fn keep_sessions_of(&mut self, before: &Settings) {
        if self.tls == before.tls {
            self.tls.clone_from(&before.tls);
        }
    }

    /// Defaults for HTTP/1.1 endpoints, where a connection carries one request at a time.
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
            keepalive: Keepalive::defaults(),
            limits: Arc::new(Limits::upstream()),
        }
    }
}
