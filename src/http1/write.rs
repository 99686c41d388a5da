//! Serialising heads and chunks. All of it is generated: neither the received form of a head nor chunk
//! boundaries are forwarded.

use super::head;
use crate::http::{Field, Name};

/// Message framing of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body: data is dropped.
    Empty,
    /// Content-length, with this many bytes remaining.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Delimited by the end of the connection.
    UntilClose,
}

/// Writes the head of a request.
pub fn request<'a>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = Field<'a>> + Clone,
    framing: Framing,
) {
    let find = |id| fields.clone().find(|field| field.id == id).map(|field| field.value);
    out.extend_from_slice(find(Name::Method).unwrap_or(b"GET"));
    out.push(b' ');
    out.extend_from_slice(find(Name::Path).unwrap_or(b"/"));
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let host = find(Name::Authority).or_else(|| find(Name::Host));
    line(out, b"host", host.unwrap_or_default());
    cookies(out, fields.clone());
    rest(out, fields.clone().filter(|field| !matches!(field.id, Name::Host | Name::Cookie)));
    match (framing, find(Name::ContentLength)) {
        (Framing::Chunked, _) => line(out, b"transfer-encoding", b"chunked"),
        (_, Some(length)) => line(out, b"content-length", length),
        // Without content-length some backends wait for a body.
        (_, None) if may_have_body(find(Name::Method)) => line(out, b"content-length", b"0"),
        _ => {}
    }
    if let Some(to) = find(Name::Upgrade) {
        line(out, b"connection", b"upgrade");
        line(out, b"upgrade", to);
    } else if find(Name::Te).is_some() {
        line(out, b"connection", b"te");
        line(out, b"te", b"trailers");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a response; `close` if it is the last one on its connection.
pub fn response<'a>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = Field<'a>> + Clone,
    framing: Framing,
    close: bool,
) {
    let find = |id| fields.clone().find(|field| field.id == id).map(|field| field.value);
    let status = find(Name::Status).unwrap_or(b"500");
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status);
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    rest(out, fields.clone());
    match (status, framing, find(Name::ContentLength)) {
        ([b'1', ..] | b"204", ..) | (_, Framing::UntilClose, _) => {}
        (_, Framing::Chunked, _) => line(out, b"transfer-encoding", b"chunked"),
        (_, _, Some(length)) => line(out, b"content-length", length),
        (_, Framing::Length(length), None) => {
            let mut digits = [0; 20];
            line(out, b"content-length", decimal(length, &mut digits));
        }
        (_, Framing::Empty, None) => {}
    }
    if let Some(to) = find(Name::Upgrade).filter(|_| status == b"101") {
        line(out, b"connection", b"upgrade");
        line(out, b"upgrade", to);
    } else if close {
        line(out, b"connection", b"close");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an error response to a malformed request, with its reason as body; closes the connection.
pub fn refusal(out: &mut Vec<u8>, status: u16, detail: &str) {
    let mut digits = [0; 20];
    let status = decimal(u64::from(status), &mut digits);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status);
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    line(out, b"content-type", b"text/plain; charset=utf-8");
    let mut digits = [0; 20];
    line(out, b"content-length", decimal(detail.len() as u64 + 1, &mut digits));
    line(out, b"connection", b"close");
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(detail.as_bytes());
    out.push(b'\n');
}

/// Writes a chunk; nothing for empty data, as an empty chunk is the last.
pub fn chunk(out: &mut Vec<u8>, payload: &[u8]) {
    if payload.is_empty() {
        return;
    }
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut left = payload.len();
    while left > 0 {
        at -= 1;
        if let (Some(slot), Some(digit)) = (digits.get_mut(at), b"0123456789abcdef".get(left & 15))
        {
            *slot = *digit;
        }
        left >>= 4;
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk and the trailers.
pub fn last_chunk<'a>(out: &mut Vec<u8>, trailers: impl Iterator<Item = Field<'a>>) {
    out.extend_from_slice(b"0\r\n");
    rest(out, trailers.filter(|field| is_for_trailers(field.id)));
    out.extend_from_slice(b"\r\n");
}

/// Whether a field is allowed in trailers: not framing, routing or credentials (RFC 9110, section
/// 6.5.1).
pub fn is_for_trailers(id: Name) -> bool {
    !id.is_pseudo()
        && !matches!(
            id,
            Name::ContentLength
                | Name::Host
                | Name::Te
                | Name::Expect
                | Name::Authorization
                | Name::Cookie
                | Name::ContentType
        )
}

/// A number in decimal digits.
pub fn decimal(number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        if let Some(slot) = digits.get_mut(at) {
            *slot = b'0' + (left % 10) as u8;
        }
        left /= 10;
        if left == 0 {
            return digits.get(at..).unwrap_or_default();
        }
    }
}

/// Writes the regular fields, without hop-by-hop fields and framing. Both codecs have removed those
/// already; this is the last line of defence if something in between added some.
fn rest<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = Field<'a>>) {
    let of_connection = |id| {
        matches!(
            id,
            Name::Connection
                | Name::KeepAlive
                | Name::ProxyConnection
                | Name::TransferEncoding
                | Name::Upgrade
                | Name::Te
                | Name::ContentLength
        )
    };
    for field in fields.filter(|field| !field.id.is_pseudo() && !of_connection(field.id)) {
        line(out, field.name, field.value);
    }
}

/// Joins cookie crumbs into one field (RFC 9113, section 8.2.3).
fn cookies<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = Field<'a>>) {
    let mut any = false;
    for crumb in fields.filter(|field| field.id == Name::Cookie) {
        out.extend_from_slice(if any { b"; " } else { b"cookie: " });
        out.extend_from_slice(crumb.value);
        any = true;
    }
    if any {
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes a field line, unless it would be malformed or could be read as several (response
/// splitting).
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let splits = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
    let sound = !name.is_empty() && name.iter().all(|&byte| head::is_token(byte));
    if sound && !value.iter().any(splits) {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

fn may_have_body(method: Option<&[u8]>) -> bool {
    !matches!(method, Some(b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"DELETE"))
}

/// The reason phrase of a status.
fn reason(status: &[u8]) -> &'static str {
    match status {
        b"100" => "Continue",
        b"101" => "Switching Protocols",
        b"103" => "Early Hints",
        b"200" => "OK",
        b"201" => "Created",
        b"202" => "Accepted",
        b"204" => "No Content",
        b"206" => "Partial Content",
        b"301" => "Moved Permanently",
        b"302" => "Found",
        b"303" => "See Other",
        b"304" => "Not Modified",
        b"307" => "Temporary Redirect",
        b"308" => "Permanent Redirect",
        b"400" => "Bad Request",
        b"401" => "Unauthorized",
        b"403" => "Forbidden",
        b"404" => "Not Found",
        b"405" => "Method Not Allowed",
        b"408" => "Request Timeout",
        b"409" => "Conflict",
        b"412" => "Precondition Failed",
        b"413" => "Content Too Large",
        b"415" => "Unsupported Media Type",
        b"416" => "Range Not Satisfiable",
        b"417" => "Expectation Failed",
        b"422" => "Unprocessable Content",
        b"429" => "Too Many Requests",
        b"431" => "Request Header Fields Too Large",
        b"500" => "Internal Server Error",
        b"501" => "Not Implemented",
        b"502" => "Bad Gateway",
        b"503" => "Service Unavailable",
        b"504" => "Gateway Timeout",
        b"505" => "HTTP Version Not Supported",
        _ => "",
    }
}
