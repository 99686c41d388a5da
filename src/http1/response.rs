//! Parsing response heads (RFC 9112, sections 4 and 6.3).

use super::body::{Body, Chunk};
use super::head;
use super::hop_by_hop::HopByHop;
use crate::http::{Headers, Name, Role, message};

/// The properties of a request that determine how its response is parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// The method is HEAD.
    pub head: bool,
    /// An upgrade was requested.
    pub upgrade: bool,
}

/// A parsed response head and what follows it.
#[derive(Debug)]
pub struct Response {
    /// In HTTP/2's form, plus `upgrade` with status 101.
    pub headers: Headers,
    /// What kind of response it is.
    pub kind: Kind,
    /// The backend closes after this exchange.
    pub close: bool,
}

/// What follows the head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Informational: another head follows.
    Informational,
    /// 101: the upgraded protocol.
    Switched,
    /// Nothing.
    Empty,
    /// A body.
    Body(Body),
}

/// Parses a complete head into `headers`, which is empty.
pub fn read(
    head: &[u8],
    asked: RequestContext,
    mut headers: Headers,
) -> Result<Response, &'static str> {
    let (line, lines) = head::split(head);
    let (status, is_http11) = status_line(line)?;
    let hop = HopByHop::read(lines, Role::Client)?;
    if hop.chunked && !is_http11 {
        return Err("transfer-encoding in HTTP/1.0");
    }
    headers.add(Name::Status, status);
    hop.pass_on(lines, &mut headers);
    let kind = match (status, hop.chunked, hop.length) {
        (b"101", ..) => match hop.upgrade() {
            Some(to) if asked.upgrade => {
                message::switching(&headers)?;
                headers.add(Name::Upgrade, to);
                return Ok(Response { headers, kind: Kind::Switched, close: true });
            }
            _ => return Err("status 101 without having been asked to switch"),
        },
        ([b'1', ..], ..) => Kind::Informational,
        (b"204" | b"304", ..) => Kind::Empty,
        _ if asked.head => Kind::Empty,
        (_, true, _) => Kind::Body(Body::Chunked(Chunk::Size)),
        (_, false, Some(0)) => Kind::Empty,
        (_, false, Some(length)) => Kind::Body(Body::Length(length)),
        (_, false, None) => Kind::Body(Body::UntilClose),
    };
    if kind == Kind::Informational {
        headers.retain(|field| field.id != Name::ContentLength); // there is no body of that length
    }
    message::response(&mut headers)?;
    let close = hop.close || !is_http11 || kind == Kind::Body(Body::UntilClose);
    Ok(Response { headers, kind, close })
}

/// The status digits, and whether it is HTTP/1.1.
fn status_line(line: &[u8]) -> Result<(&[u8], bool), &'static str> {
    const BAD: &str = "the first line is not version, status and reason";
    let (version, rest) = line.split_at_checked(9).ok_or(BAD)?;
    let is_http11 = match version {
        b"HTTP/1.1 " => true,
        b"HTTP/1.0 " => false,
        _ => return Err(BAD),
    };
    match rest.split_at_checked(3) {
        Some((status, [] | [b' ', ..])) if status.iter().all(u8::is_ascii_digit) => {
            Ok((status, is_http11))
        }
        _ => Err(BAD),
    }
}
