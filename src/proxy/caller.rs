//! Who calls, for a fair share of a service's limits.

use super::forwarded_headers::source_address;
use super::hash_key::{HashKey, address_key, cookie, parameter};
use crate::http::Headers;
use crate::model::{CallerKey, Sans, stable_hash};
use crate::net::{Origin, Stream};
use crate::service::Concurrency;

/// Salt of the hash, so that it is independent of those of balancers.
const SALT: u32 = 0x6661_6972;

/// Hash and weight of the caller of a request.
pub fn caller(concurrency: &Concurrency, front: &Stream, head: &Headers) -> (u64, u32) {
    let key = key(&concurrency.caller, front, head);
    let key = key.bytes();
    (stable_hash(key, SALT), concurrency.weight(key))
}

/// Hash of the caller's key.
pub fn hash_of(caller: &CallerKey, front: &Stream, head: &Headers) -> u64 {
    stable_hash(key(caller, front, head).bytes(), SALT)
}

/// The caller's key; its address if the request lacks it.
fn key<'a>(key: &CallerKey, front: &'a Stream, head: &'a Headers) -> HashKey<'a> {
    // At the edge trusted proxies alone may say who calls.
    let claimed = || front.conn().origin().is_none_or(|origin| origin.believed);
    let found = match key {
        CallerKey::Client => front.conn().origin().and_then(Origin::client).and_then(identity),
        CallerKey::SourceAddress => None,
        CallerKey::Header(name) => head.get_named(name.as_bytes()).filter(|_| claimed()),
        CallerKey::Cookie(name) => cookie(head, name.as_bytes()).filter(|_| claimed()),
        CallerKey::Query(name) => parameter(head, name.as_bytes()).filter(|_| claimed()),
    };
    let found = found.filter(|found| !found.is_empty()).map(HashKey::Found);
    found.unwrap_or_else(|| address_key(source_address(front, head)))
}

/// Whom a certificate is for: its first URI, else its first DNS name.
fn identity(sans: &Sans) -> Option<&[u8]> {
    sans.uris.first().or_else(|| sans.dns.first()).map(|name| name.as_bytes())
}
