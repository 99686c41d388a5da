//! The configuration of a health check.

use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::upstream::{Tls, Version};

/// Configuration of a health check. Equal checks of one address share a checker.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What is probed.
    pub probe: Probe,
    /// Interval between checks.
    pub interval: Duration,
    /// Timeout of one check, connecting included.
    pub timeout: Duration,
    /// Successes in a row after which an unhealthy target is healthy.
    pub rise: u32,
    /// Failures in a row after which a healthy target is unhealthy.
    pub fall: u32,
    /// The port, if not the backend's.
    pub port: Option<u16>,
    /// The authority, if not the address.
    pub authority: Option<Box<str>>,
    /// Request headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether a target is healthy before its first check.
    pub initially_healthy: bool,
    /// The HTTP version.
    pub version: Version,
    /// TLS; cleartext if `None`.
    pub tls: Option<Tls>,
}

/// What is probed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// `grpc.health.v1` for this service name; empty for the whole server.
    Grpc(Box<str>),
    /// A GET of this path, which must return one of these statuses.
    Http(Box<str>, RangeInclusive<u16>),
    /// A TCP connection.
    Tcp,
}

/// TLS settings compare by the fingerprint of their files.
impl Eq for Check {}

impl Hash for Check {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Check { probe, interval, timeout, rise, fall, port, authority, .. } = self;
        let Check { headers, initially_healthy, version, tls, .. } = self;
        (probe, interval, timeout, rise, fall, port, authority).hash(state);
        let tls = tls.as_ref().map(|tls| (tls.fingerprint, &tls.server_name));
        (headers, initially_healthy, *version == Version::Http2, tls).hash(state);
    }
}
