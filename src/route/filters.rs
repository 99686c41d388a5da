//! What a route does to requests and responses on the way. Only values: the data path applies
//! them.

use std::io::Write;

/// What is done to the requests of a route, and to the responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// The path that the backend sees.
    pub path: Option<PathRewrite>,
    /// The host that the backend sees.
    pub host: Option<Box<str>>,
    /// What is done to the header of a request, in order.
    pub request: Vec<HeaderEdit>,
    /// What is done to the header of a response, in order.
    pub response: Vec<HeaderEdit>,
}

impl Filters {
    /// Whether they do nothing.
    pub fn is_empty(&self) -> bool {
        *self == Filters::default()
    }
}

/// A change of a header. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// The field has this value and no other.
    Set(Box<str>, Box<str>),
    /// The field has this value too.
    Add(Box<str>, Box<str>),
    /// The field is not there.
    Remove(Box<str>),
}

/// Another path in the place of the one asked for; the query stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// This one.
    Full(Box<str>),
    /// What the route's prefix matches is replaced.
    Prefix {
        /// The length of the route's prefix, without `/` at its end.
        matched: usize,
        /// What stands in its place, without `/` at its end.
        with: Box<str>,
    },
}

impl PathRewrite {
    /// The pieces of the new path and query, to be read one after the other.
    pub fn apply<'a>(&'a self, path: &'a [u8]) -> [&'a [u8]; 3] {
        let query = path.iter().position(|b| *b == b'?').unwrap_or(path.len());
        let (path, query) = path.split_at(query);
        match self {
            PathRewrite::Full(full) => [full.as_bytes(), b"", query],
            PathRewrite::Prefix { matched, with } => {
                let rest = path.get(*matched..).unwrap_or_default();
                let root: &[u8] = if with.is_empty() && rest.is_empty() { b"/" } else { rest };
                [with.as_bytes(), root, query]
            }
        }
    }
}

/// An answer that sends the client elsewhere. What is not set stays as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<&'static str>,
    /// The host.
    pub host: Option<Box<str>>,
    /// The port.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<PathRewrite>,
    /// The status of the answer.
    pub status: RedirectStatus,
}

/// The status of a redirect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedirectStatus {
    /// 301
    MovedPermanently,
    /// 302
    #[default]
    Found,
    /// 303
    SeeOther,
    /// 307
    Temporary,
    /// 308
    Permanent,
}

impl RedirectStatus {
    /// Every status, as it is written.
    pub const ALL: [(&'static str, RedirectStatus); 5] = [
        ("301", RedirectStatus::MovedPermanently),
        ("302", RedirectStatus::Found),
        ("303", RedirectStatus::SeeOther),
        ("307", RedirectStatus::Temporary),
        ("308", RedirectStatus::Permanent),
    ];

    /// The three digits.
    pub fn digits(self) -> &'static str {
        let [.., (last, _)] = Self::ALL;
        Self::ALL.iter().find(|(_, status)| *status == self).map_or(last, |(digits, _)| digits)
    }
}

impl Redirect {
    /// Writes where the client is sent: it came with this scheme, host and port, path and query.
    pub fn location(&self, https: bool, authority: &[u8], path: &[u8], out: &mut Vec<u8>) {
        let came_by = if https { "https" } else { "http" };
        out.extend_from_slice(self.scheme.unwrap_or(came_by).as_bytes());
        out.extend_from_slice(b"://");
        let host = super::request::without_port(authority);
        out.extend_from_slice(self.host.as_deref().map_or(host, str::as_bytes));
        match self.port {
            Some(port) => drop(write!(out, ":{port}")), // a vector takes everything
            // Another scheme has another port: its usual one.
            None if self.scheme.is_some() => {}
            None => out.extend_from_slice(authority.get(host.len()..).unwrap_or_default()),
        }
        let path = if path.starts_with(b"/") { path } else { b"/" }; // `*` is no path
        match &self.path {
            Some(rewrite) => rewrite.apply(path).iter().for_each(|p| out.extend_from_slice(p)),
            None => out.extend_from_slice(path),
        }
    }
}

/// A second service that gets a copy of requests, and whose answers nobody waits for. Two are
/// equal that have the same service by name, as those of a split.
#[derive(Clone, Debug, Eq)]
pub struct Mirror {
    /// The index of the service.
    pub service: usize,
    /// Its name.
    pub name: Box<str>,
    /// How many of a million requests are copied.
    pub per_million: u32,
    /// Bytes of a request that may wait for the mirror; beyond, the copy is given up.
    pub buffer: usize,
    /// Copies to the service that one worker may have under way; beyond, none is made.
    pub max_in_flight: usize,
}

impl PartialEq for Mirror {
    fn eq(&self, other: &Mirror) -> bool {
        let Mirror { service: _, name, per_million, buffer, max_in_flight } = self;
        (name, per_million) == (&other.name, &other.per_million)
            && (buffer, max_in_flight) == (&other.buffer, &other.max_in_flight)
    }
}
