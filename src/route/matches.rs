//! What a route matches: parsed from, and formatted as, the configuration.

use std::fmt::{self, Display, Formatter};

use super::conditions::{Conditions, FieldMatch, ValueMatch};
use super::pattern::Pattern;

/// The longest valid host name.
pub const MAX_HOST: usize = 253;

/// What a route matches. [`Display`] formats it as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Match {
    /// The host.
    pub host: HostMatch,
    /// The path.
    pub path: PathMatch,
    /// Further conditions.
    pub conditions: Conditions,
}

/// A match of the host. Names are kept in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Any host.
    #[default]
    Any,
    /// Exactly this host.
    Exact(Box<str>),
    /// Any host below this name: `shop.example` for `*.shop.example`.
    Below(Box<str>),
}

/// A match of the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// Any path.
    #[default]
    Any,
    /// Exactly this path, ignoring the query.
    Exact(Box<str>),
    /// This path, or continued with a `/`; kept without a trailing `/`, and not empty.
    Prefix(Box<str>),
    /// A regular expression for the whole path, ignoring the query.
    Regex(Pattern),
    /// Any gRPC method of this service; kept as `/pkg.Service`.
    GrpcService(Box<str>),
    /// This gRPC method; kept as `/pkg.Service/Method`.
    GrpcMethod(Box<str>),
    /// A regular expression for gRPC methods, as `pkg.Service/Method`.
    GrpcRegex(Pattern),
}

impl HostMatch {
    /// Parses `shop.example`, `*.shop.example` or `[::1]`. A trailing dot is ignored.
    ///
    /// # Errors
    /// What is wrong, and how to fix it.
    pub fn parse(text: &str) -> Result<HostMatch, String> {
        let lower = text.to_ascii_lowercase();
        if text == "*" {
            return Err("`*` is not a host: leave `host` out to match every host".into());
        }
        if let Some(parent) = lower.strip_prefix("*.") {
            let parent = parent.strip_suffix('.').unwrap_or(parent);
            check_name(parent, text)?;
            return Ok(HostMatch::Below(parent.into()));
        }
        if lower.starts_with('[') {
            let inner = lower.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
            return match inner.map(str::parse::<std::net::Ipv6Addr>) {
                Some(Ok(address)) => Ok(HostMatch::Exact(format!("[{address}]").into())),
                _ => Err(format!("`{text}` is not an IPv6 host: write it as [::1], without port")),
            };
        }
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        check_name(name, text)?;
        Ok(HostMatch::Exact(name.into()))
    }
}

impl PathMatch {
    /// Whether it matches gRPC requests only.
    pub fn is_grpc(&self) -> bool {
        use PathMatch::{GrpcMethod, GrpcRegex, GrpcService};
        matches!(self, GrpcService(_) | GrpcMethod(_) | GrpcRegex(_))
    }

    /// Parses `/a/b` as an exact path.
    ///
    /// # Errors
    /// What is wrong, and how to fix it.
    pub fn exact(text: &str) -> Result<PathMatch, String> {
        check_path(text)?;
        Ok(PathMatch::Exact(text.into()))
    }

    /// Parses `/a/b` as a prefix of whole segments; `/` matches every path.
    ///
    /// # Errors
    /// What is wrong, and how to fix it.
    pub fn prefix(text: &str) -> Result<PathMatch, String> {
        check_path(text)?;
        Ok(match text.strip_suffix('/').unwrap_or(text) {
            "" => PathMatch::Any,
            prefix => PathMatch::Prefix(prefix.into()),
        })
    }

    /// Parses `pkg.Service` or `pkg.Service/Method`.
    ///
    /// # Errors
    /// What is wrong, and how to fix it.
    pub fn grpc(text: &str) -> Result<PathMatch, String> {
        if let Some(rest) = text.strip_prefix('/') {
            return Err(format!(
                "`{text}` starts with a `/`: write it as `{rest}`, as it stands in the .proto file"
            ));
        }
        let (service, method) = match text.split_once('/') {
            Some((service, method)) => (service, Some(method)),
            None => (text, None),
        };
        let word = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if !service.split('.').all(word) || !method.is_none_or(word) {
            return Err(format!(
                "`{text}` is not a gRPC name: write pkg.Service or pkg.Service/Method"
            ));
        }
        let path = format!("/{text}").into();
        Ok(match method {
            Some(_) => PathMatch::GrpcMethod(path),
            None => PathMatch::GrpcService(path),
        })
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Conditions { method, headers, query } = &self.conditions;
        let mut parts = Vec::new();
        match &self.host {
            HostMatch::Any => {}
            HostMatch::Exact(host) => parts.push(format!("host: {}", quoted(host))),
            HostMatch::Below(host) => parts.push(format!("host: \"*.{host}\"")),
        }
        match &self.path {
            PathMatch::Any => {}
            PathMatch::Exact(path) => parts.push(format!("path: {}", quoted(path))),
            PathMatch::Prefix(path) => parts.push(format!("path_prefix: {}", quoted(path))),
            PathMatch::Regex(regex) => {
                parts.push(format!("path_regex: {}", quoted(regex.as_str())))
            }
            PathMatch::GrpcService(name) | PathMatch::GrpcMethod(name) => {
                let name = name.strip_prefix('/').unwrap_or(name);
                parts.push(format!("grpc: {name}"));
            }
            PathMatch::GrpcRegex(regex) => {
                parts.push(format!("grpc_regex: {}", quoted(regex.as_str())))
            }
        }
        parts.extend(method.iter().map(|method| format!("method: {method}")));
        parts.extend(list("headers", headers));
        parts.extend(list("query", query));
        match parts.as_slice() {
            [] => f.write_str("{ }"),
            parts => write!(f, "{{ {} }}", parts.join(", ")),
        }
    }
}

/// The fields as a list under `key`, if there are any.
fn list(key: &str, fields: &[FieldMatch]) -> Option<String> {
    let fields: Vec<String> = fields.iter().map(FieldMatch::to_string).collect();
    (!fields.is_empty()).then(|| format!("{key}: {{ {} }}", fields.join(", ")))
}

impl Display for FieldMatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", quoted(&self.name))?;
        match &self.value {
            ValueMatch::Exact(text) => f.write_str(&quoted(text)),
            ValueMatch::Prefix(text) => write!(f, "{{ prefix: {} }}", quoted(text)),
            ValueMatch::Regex(regex) => write!(f, "{{ regex: {} }}", quoted(regex.as_str())),
            ValueMatch::Present => f.write_str("{ present: true }"),
            ValueMatch::Absent => f.write_str("{ present: false }"),
        }
    }
}

/// Quotes text for a YAML flow mapping unless it is a plain word.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    if word && text.bytes().all(plain) { text.into() } else { format!("{text:?}") }
}

/// The host part of a URL, or of a host with a path.
fn host_of(text: &str) -> &str {
    let rest = text.split_once("//").map_or(text, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit('@').next().unwrap_or_default();
    match rest.find(']') {
        Some(end) => rest.get(..=end).unwrap_or_default(),
        None => rest.split(':').next().unwrap_or_default(),
    }
}

fn check_name(name: &str, text: &str) -> Result<(), String> {
    let instead = match host_of(text) {
        "" => "shop.example",
        host => host,
    };
    if text.contains("://") {
        return Err(format!("`{text}` is a URL: write `{instead}`, the host alone"));
    }
    if text.contains('/') {
        return Err(format!(
            "`{text}` has a path: write `{instead}`, and match the path by a key of its own"
        ));
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(format!("`{text}` is an IPv6 address: write `[{text}]`"));
    }
    if name.contains(':') {
        return Err(format!(
            "`{text}` has a port: hosts are compared without theirs, so leave it out"
        ));
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > MAX_HOST || !name.split('.').all(label) {
        return Err(format!(
            "`{text}` is not a host: write shop.example, or *.shop.example for all below it"
        ));
    }
    Ok(())
}

/// Validates a path without a query.
///
/// # Errors
/// What is wrong, and how to fix it.
pub fn check_path(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err(format!("`{text}` is not a path: start it with `/`"));
    }
    if text.contains(['?', '#']) {
        return Err(format!(
            "`{text}` has a query or fragment: paths are compared without, so leave it out"
        ));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!(
            "`{text}` has characters that no request path has: percent-encode them"
        ));
    }
    Ok(())
}
