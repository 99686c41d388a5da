//! Forwarded headers: tells backends about the client in `x-forwarded-*` and `forwarded` (RFC
//! 7239).

use super::fields;
use crate::http::{Headers, Name};
use crate::model::{ForwardedHeaders, Peer};
use crate::net::{Origin, Stream};

/// Limit of `x-forwarded-for` fields read; the last ones count.
const MAX_FIELDS: usize = 8;

/// Adds the forwarded headers to a request head. Those that an untrusted client sent are removed; a
/// trusted proxy's are kept and extended.
pub fn apply(front: &Stream, head: &mut Headers, grpc: bool) {
    let Some(origin) = front.conn().origin() else { return };
    apply_certificate(front, origin, head);
    let headers = origin.forwarding.headers;
    if headers == ForwardedHeaders::Off || (grpc && !origin.forwarding.grpc) {
        return;
    }
    front.conn().worker().unshare(head);
    if !origin.trusted {
        head.retain(|field| !is_forwarded(field.id));
    }
    if matches!(headers, ForwardedHeaders::XForwarded | ForwardedHeaders::Both) {
        extend(head, Name::XForwardedFor, origin.address.as_bytes(), b", ");
        if head.get(Name::XForwardedProto).is_none() {
            head.add(Name::XForwardedProto, origin.scheme.as_bytes());
        }
        if head.get(Name::XForwardedHost).is_none() {
            let host =
                if head.get(Name::Authority).is_some() { Name::Authority } else { Name::Host };
            head.add_copy(Name::XForwardedHost, host);
        }
    }
    if matches!(headers, ForwardedHeaders::Forwarded | ForwardedHeaders::Both) {
        let element = element(origin, fields::authority(head));
        extend(head, Name::Forwarded, &element, b", ");
    }
}

/// Tells of the client's certificate. What an untrusted client claims of one is removed in any case:
/// a backend that reads the field takes it for verified.
fn apply_certificate(front: &Stream, origin: &Origin, head: &mut Headers) {
    let own = origin.certificate();
    let is_claimed = !origin.trusted && head.get(Name::XForwardedClientCert).is_some();
    if own.is_empty() && !is_claimed {
        return;
    }
    front.conn().worker().unshare(head);
    if is_claimed {
        head.retain(|field| field.id != Name::XForwardedClientCert);
    }
    if !own.is_empty() {
        extend(head, Name::XForwardedClientCert, own, b",");
    }
}

/// The address of the client: the peer's, or the one reported by trusted proxies.
pub fn source_address(front: &Stream, head: &Headers) -> Peer {
    let peer = front.conn().peer();
    let Some(origin) = front.conn().origin().filter(|origin| origin.trusted) else { return peer };
    let mut fields = [&[][..]; MAX_FIELDS];
    origin.forwarding.client(peer, last_fields(head, &mut fields))
}

/// The last `x-forwarded-for` fields: proxies append, and earlier ones may be forged by the client.
fn last_fields<'h, 'f>(head: &'h Headers, fields: &'f mut [&'h [u8]]) -> &'f [&'h [u8]] {
    let values = head.iter().filter(|field| field.id == Name::XForwardedFor);
    let skipped = values.clone().count().saturating_sub(fields.len());
    let mut len = 0;
    for (slot, field) in fields.iter_mut().zip(values.skip(skipped)) {
        *slot = field.value;
        len += 1;
    }
    fields.get(..len).unwrap_or_default()
}

fn is_forwarded(id: Name) -> bool {
    use Name::{Forwarded, XForwardedFor, XForwardedHost, XForwardedProto};
    matches!(id, Forwarded | XForwardedFor | XForwardedHost | XForwardedProto)
}

/// Appends `item` to a list field, joining several fields into one.
fn extend(head: &mut Headers, name: Name, item: &[u8], separator: &[u8]) {
    if head.get(name).is_none() {
        return head.add(name, item);
    }
    let mut list = Vec::new();
    for field in head.iter().filter(|field| field.id == name) {
        list.extend_from_slice(field.value);
        list.extend_from_slice(separator);
    }
    list.extend_from_slice(item);
    head.retain(|field| field.id != name);
    head.add(name, &list);
}

/// One element of `forwarded`. The host is quoted, as it may have a port; a host that contains a
/// quote is left out, as it could inject parameters.
fn element(origin: &Origin, authority: &[u8]) -> Vec<u8> {
    let mut element = origin.node.as_bytes().to_vec();
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if !authority.is_empty() && authority.iter().all(plain) {
        element.extend_from_slice(b";host=\"");
        element.extend_from_slice(authority);
        element.push(b'"');
    }
    element.extend_from_slice(b";proto=");
    element.extend_from_slice(origin.scheme.as_bytes());
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_fields_a_client_sends_the_last_count() {
        let mut head = Headers::new();
        for value in [&b"1.1.1.1"[..], b"2.2.2.2", b"3.3.3.3"] {
            head.add(Name::XForwardedFor, value);
        }
        let mut two = [&[][..]; 2];
        assert_eq!(last_fields(&head, &mut two), [b"2.2.2.2", b"3.3.3.3"]);
        let mut four = [&[][..]; 4];
        assert_eq!(last_fields(&head, &mut four), [b"1.1.1.1", b"2.2.2.2", b"3.3.3.3"]);
    }
}
