//! Filters of a route: header edits, rewrites, redirects. Data only; the data path applies them.

use std::io::Write;

/// Filters for requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Rewrites the path.
    pub path: Option<PathRewrite>,
    /// Rewrites the host (`:authority`).
    pub host: Option<Box<str>>,
    /// Edits of the request header, in order.
    pub request: Vec<HeaderEdit>,
    /// Edits of the response header, in order.
    pub response: Vec<HeaderEdit>,
}

impl Filters {
    /// Whether there are no filters.
    pub fn is_empty(&self) -> bool {
        *self == Filters::default()
    }
}

/// An edit of a header field. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Sets the field, replacing all values.
    Set(Box<str>, Box<str>),
    /// Adds a value.
    Add(Box<str>, Box<str>),
    /// Removes the field.
    Remove(Box<str>),
}

/// A rewrite of the path; the query is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// Replaces the whole path.
    Full(Box<str>),
    /// Replaces the prefix that the route matched.
    Prefix {
        /// Length of the route's prefix, without a trailing `/`.
        matched: usize,
        /// The replacement, without a trailing `/`.
        with: Box<str>,
    },
}

impl PathRewrite {
    /// The new path and query in pieces, to be concatenated.
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

/// A redirect. Parts that are not set are kept from the request.
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
    /// The status code.
    pub status: RedirectStatus,
}

/// The status code of a redirect.
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
    /// All codes, as written in the configuration.
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
    /// Appends the `location`, for a request with this scheme, authority, path and query.
    pub fn location(&self, https: bool, authority: &[u8], path: &[u8], out: &mut Vec<u8>) {
        let attach_listener = if https { "https" } else { "http" };
        out.extend_from_slice(self.scheme.unwrap_or(attach_listener).as_bytes());
        out.extend_from_slice(b"://");
        let host = super::request::without_port(authority);
        out.extend_from_slice(self.host.as_deref().map_or(host, str::as_bytes));
        match self.port {
            Some(port) => drop(write!(out, ":{port}")), // writing to a Vec cannot fail
            // A changed scheme implies its default port.
            None if self.scheme.is_some() => {}
            None => out.extend_from_slice(authority.get(host.len()..).unwrap_or_default()),
        }
        let path = if path.starts_with(b"/") { path } else { b"/" }; // `*` is not a path
        match &self.path {
            Some(rewrite) => rewrite.apply(path).iter().for_each(|p| out.extend_from_slice(p)),
            None => out.extend_from_slice(path),
        }
    }
}

/// A mirror: a service that gets copies of requests and whose responses are dropped. Equality is by
/// service name, as for a split's shares.
#[derive(Clone, Debug, Eq)]
pub struct Mirror {
    /// The index of the service.
    pub service: usize,
    /// Its name.
    pub name: Box<str>,
    /// How many of a million requests are copied.
    pub per_million: u32,
    /// Bytes of a request to buffer for a slow mirror; beyond that the copy is abandoned.
    pub buffer: usize,
    /// Limit of concurrent copies per worker; beyond that requests are not copied.
    pub max_in_flight: usize,
}

impl PartialEq for Mirror {
    fn eq(&self, other: &Mirror) -> bool {
        let Mirror { service: _, name, per_million, buffer, max_in_flight } = self;
        (name, per_million) == (&other.name, &other.per_million)
            && (buffer, max_in_flight) == (&other.buffer, &other.max_in_flight)
    }
}
