//! How a backend is checked, as the configuration says.

use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::upstream::{Tls, Version};

/// How a backend is checked. Two that are the same are one checker.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What is asked.
    pub kind: Kind,
    /// From one check to the next.
    pub interval: Duration,
    /// What each may take, with the connection.
    pub timeout: Duration,
    /// So many in a row that succeed make well who was not.
    pub rise: u32,
    /// So many in a row that fail make unwell who was well.
    pub fall: u32,
    /// The port to ask, if not that of the backend.
    pub port: Option<u16>,
    /// The authority of what is asked, if not the address.
    pub authority: Option<Box<str>>,
    /// Fields of what is asked.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether it is well before it has answered.
    pub well_at_first: bool,
    /// What is spoken there.
    pub version: Version,
    /// TLS to it; clear text without.
    pub tls: Option<Tls>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `grpc.health.v1`, about the service of this name; about the whole process if that is empty.
    Grpc(Box<str>),
    /// A page, which is to have one of these statuses.
    Http(Box<str>, RangeInclusive<u16>),
    /// A connection, which is to be made.
    Tcp,
}

/// What TLS was made from compares, and does not change: it is the same for the same files.
impl Eq for Check {}

impl Hash for Check {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Check { kind, interval, timeout, rise, fall, port, authority, .. } = self;
        let Check { headers, well_at_first, version, tls, .. } = self;
        (kind, interval, timeout, rise, fall, port, authority).hash(state);
        let tls = tls.as_ref().map(|tls| (tls.fingerprint, &tls.server_name));
        (headers, well_at_first, *version == Version::Http2, tls).hash(state);
    }
}
