//! Hash keys of requests, for consistent-hashing policies.
//!
//! Reading a key does not allocate, except to issue a cookie, or while the buffer for a JWT's
//! claims grows.

mod jwt;

use std::cell::{OnceCell, RefCell};
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::balance::{CookieIssue, Fallback, KeySource, KeySpec};
use crate::http::{Field, Headers, Indexing, Name};
use crate::model::Peer;

/// What the hash key of a request is read from.
pub struct KeyContext<'a> {
    /// The request head.
    pub head: &'a Headers,
    /// The client's address.
    pub source: Peer,
    /// The affinity cookie; drawn when the client turns out to have none.
    pub affinity_cookie: &'a OnceCell<AffinityCookie>,
    /// Random numbers for the cookie.
    pub rng: &'a RefCell<fastrand::Rng>,
}

/// The random value of an affinity cookie, for a client without one.
#[derive(Debug, PartialEq, Eq)]
pub struct AffinityCookie(Box<[u8; 32]>);

/// A hash key, borrowed from the request.
pub enum HashKey<'a> {
    Found(&'a [u8]),
    V4([u8; 4]),
    V6([u8; 16]),
}

impl HashKey<'_> {
    /// The bytes to hash.
    pub fn bytes(&self) -> &[u8] {
        match self {
            HashKey::Found(bytes) => bytes,
            HashKey::V4(octets) => octets,
            HashKey::V6(octets) => octets,
        }
    }
}

impl<'a> KeyContext<'a> {
    /// The key that `spec` selects, or its fallback. A JWT is decoded into `scratch`.
    pub fn key(&self, spec: &KeySpec, scratch: &'a mut Vec<u8>) -> Option<HashKey<'a>> {
        let found = match &spec.source {
            KeySource::Header(name) => self.head.get_named(name.as_bytes()),
            KeySource::Cookie { name, .. } => cookie(self.head, name.as_bytes()),
            KeySource::Query(name) => parameter(self.head, name.as_bytes()),
            KeySource::JwtClaim(name) => jwt::claim(self.head, name, scratch),
            KeySource::SourceAddress => return Some(address_key(self.source)),
        };
        if let Some(found) = found.filter(|found| !found.is_empty()) {
            return Some(HashKey::Found(found));
        }
        if let KeySource::Cookie { issue: Some(_), .. } = spec.source {
            let AffinityCookie(value) =
                self.affinity_cookie.get_or_init(|| AffinityCookie::draw(self.rng));
            return Some(HashKey::Found(&value[..]));
        }
        match spec.fallback {
            Fallback::Random => None,
            Fallback::SourceAddress => Some(address_key(self.source)),
        }
    }
}

/// An address as a key.
pub fn address_key<'a>(address: Peer) -> HashKey<'a> {
    match address {
        Peer::Ip(IpAddr::V4(ip)) => HashKey::V4(ip.octets()),
        Peer::Ip(IpAddr::V6(ip)) => HashKey::V6(ip.octets()),
        Peer::Unix => HashKey::Found(Peer::UNIX.as_bytes()),
    }
}

/// The first cookie of this name, undecoded.
pub fn cookie<'a>(head: &'a Headers, name: &[u8]) -> Option<&'a [u8]> {
    let crumbs = head.iter().filter(|field| field.id == Name::Cookie);
    let mut pairs = crumbs.flat_map(|field| field.value.split(|byte| *byte == b';'));
    pairs.find_map(|pair| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"="))
}

/// The first query parameter of this name, undecoded.
pub fn parameter<'a>(head: &'a Headers, name: &[u8]) -> Option<&'a [u8]> {
    let path = head.get(Name::Path)?;
    let query = path.get(path.iter().position(|byte| *byte == b'?')? + 1..)?;
    let mut pairs = query.split(|byte| *byte == b'&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

impl AffinityCookie {
    /// 128 random bits in hexadecimal. They distinguish clients and are not secret.
    fn draw(rng: &RefCell<fastrand::Rng>) -> AffinityCookie {
        let bits = rng.borrow_mut().u128(..);
        let digit = |place| b"0123456789abcdef"[(bits >> (4 * place)) as usize & 15];
        AffinityCookie(Box::new(std::array::from_fn(digit)))
    }

    /// The `set-cookie` field.
    pub fn set_cookie(&self, name: &str, issue: &CookieIssue, secure: bool) -> SetCookie {
        let value = String::from_utf8_lossy(&self.0[..]);
        let mut text = format!("{name}={value}; Path={}; HttpOnly; SameSite=Lax", issue.path);
        if let Some(ttl) = issue.ttl {
            let _ = write!(text, "; Max-Age={}", ttl.as_secs()); // writing to a string cannot fail
        }
        if secure {
            text += "; Secure";
        }
        SetCookie(text)
    }
}

/// A `set-cookie` field.
pub struct SetCookie(String);

impl SetCookie {
    /// As a field of a response head.
    pub fn field(&self) -> Field<'_> {
        let (name, value) = (&b"set-cookie"[..], self.0.as_bytes());
        Field { id: Name::Other, name, value, indexing: Indexing::Never }
    }
}

#[cfg(test)]
mod tests;
