//! Parsing request heads (RFC 9112, section 3).

use super::body::{Body, Chunk};
use super::head;
use super::hop_by_hop::{CODING, HopByHop};
use crate::http::{Headers, Name, Role, authority, message};

/// A parsed request head and the framing of its body.
#[derive(Debug)]
pub struct Request {
    /// In HTTP/2's form, plus `upgrade` if one is requested.
    pub headers: Headers,
    /// `None` when nothing follows.
    pub body: Option<Body>,
    /// The method is HEAD.
    pub is_head: bool,
    /// HTTP/1.1 or later.
    pub is_http11: bool,
    /// The client asks to close after this exchange.
    pub close: bool,
    /// An upgrade is requested; bytes of that protocol may follow.
    pub upgrade: bool,
}

/// Why a request is refused, and the status for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// The status.
    pub status: u16,
    /// What is wrong.
    pub detail: &'static str,
}

impl From<&'static str> for RequestError {
    fn from(detail: &'static str) -> RequestError {
        let status = if detail == CODING { 501 } else { 400 };
        RequestError { status, detail }
    }
}

/// Parses a complete head into `headers`, which is empty.
pub fn read(
    head: &[u8],
    scheme: &'static [u8],
    most_fields: usize,
    mut headers: Headers,
) -> Result<Request, RequestError> {
    let (line, lines) = head::split(head);
    let line = Line::parse(line)?;
    let hop = HopByHop::read(lines, Role::Server)?;
    if hop.count > most_fields {
        return Err(RequestError { status: 431, detail: "too many fields" });
    }
    if hop.chunked && !line.is_http11 {
        return Err("transfer-encoding in HTTP/1.0".into());
    }
    let target = Target::parse(line.method, line.target)?;
    let host = match (target.authority, hop.host) {
        (None, None) if line.is_http11 => return Err("no host".into()),
        (Some(of_target), Some(host)) if !authority::same(of_target, host, target.scheme) => {
            return Err("host differs from the target's".into());
        }
        (of_target, host) => of_target.or(host).filter(|host| !host.is_empty()),
    };
    headers.add(Name::Method, line.method);
    if line.method != b"CONNECT" {
        headers.add(Name::Scheme, scheme);
    }
    if let Some(host) = host {
        headers.add(Name::Authority, host);
    }
    if let Some(path) = target.path {
        headers.add(Name::Path, path);
    }
    hop.pass_on(lines, &mut headers);
    if hop.trailers {
        headers.add(Name::Te, b"trailers");
    }
    if !line.is_http11 {
        headers.retain(|field| field.id != Name::Expect); // HTTP/1.0 does not wait for 100 Continue
    }
    message::request(&mut headers)?;
    let body = match (hop.chunked, hop.length) {
        (true, _) => Some(Body::Chunked(Chunk::Size)),
        (false, None | Some(0)) => None,
        (false, Some(length)) => Some(Body::Length(length)),
    };
    // A body and an upgraded protocol cannot be distinguished after one head.
    let upgrade = hop.upgrade().filter(|_| body.is_none() && line.is_http11);
    if let Some(to) = upgrade {
        headers.add(Name::Upgrade, to);
    }
    Ok(Request {
        headers,
        body,
        is_head: line.method == b"HEAD",
        is_http11: line.is_http11,
        close: hop.close || !line.is_http11,
        upgrade: upgrade.is_some(),
    })
}

/// The request line.
struct Line<'a> {
    method: &'a [u8],
    target: &'a [u8],
    is_http11: bool,
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Result<Line<'a>, RequestError> {
        let mut parts = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("the first line is not method, target and version".into());
        };
        let is_http11 = match version {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'] => false,
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'] => true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(RequestError { status: 505, detail: "neither HTTP/1.1 nor HTTP/1.0" });
            }
            _ => return Err("the first line ends without a version".into()),
        };
        if method.is_empty() || !method.iter().all(|&byte| head::is_token(byte)) {
            return Err("the method is not a token".into());
        }
        Ok(Line { method, target, is_http11 })
    }
}

/// The request target (RFC 9112, section 3.2).
struct Target<'a> {
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    fn parse(method: &[u8], target: &'a [u8]) -> Result<Target<'a>, RequestError> {
        if method == b"CONNECT" {
            return Ok(Target { scheme: None, authority: Some(target), path: None });
        }
        if matches!(target, [b'/', ..] | b"*") {
            return Ok(Target { scheme: None, authority: None, path: Some(target) });
        }
        let (scheme, rest) =
            split_scheme(target).ok_or("the target is neither a path nor a URL")?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
        let (authority, path) =
            rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or_default();
        let path = match path {
            b"" if method == b"OPTIONS" => b"*",
            b"" => b"/",
            [b'/', ..] => path,
            _ => return Err("the target's path does not begin with /".into()),
        };
        if authority.is_empty() {
            return Err("the target has no host".into());
        }
        Ok(Target { scheme: Some(scheme), authority: Some(authority), path: Some(path) })
    }
}

fn split_scheme(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', target)?;
    let (scheme, rest) = target.split_at_checked(colon)?;
    let known = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
    rest.strip_prefix(b"://").filter(|_| known).map(|rest| (scheme, rest))
}
