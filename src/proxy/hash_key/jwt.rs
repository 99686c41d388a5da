//! JWT claims, read without verifying the token.
//!
//! Clients can forge the token. A claim read here may choose between equal backends, and nothing
//! else.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::{Headers, Name};

/// Larger payloads are not decoded.
const MAX_PAYLOAD: usize = 8 << 10;

/// The claim `name` of the bearer token, decoded into `scratch`: a string or a number, as written.
/// A dotted name also leads into nested objects. `None` if the token is malformed or too large, or
/// lacks the claim.
pub fn claim<'a>(head: &Headers, name: &str, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let payload = payload(head.get(Name::Authorization)?)?;
    let most = base64::decoded_len_estimate(payload.len());
    if most > MAX_PAYLOAD {
        return None;
    }
    scratch.resize(most, 0);
    let len = BASE64_URL_SAFE_NO_PAD.decode_slice(payload, scratch).ok()?;
    let text = std::str::from_utf8(scratch.get(..len)?).ok()?;
    let value = find(text, name)?;
    match value.as_bytes() {
        [b'"', text @ .., b'"'] => Some(text),
        number @ [b'-' | b'0'..=b'9', ..] => Some(number),
        _ => None,
    }
}

/// The middle part of `Bearer HEAD.PAYLOAD.SIGNATURE`.
fn payload(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(b"Bearer ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return None;
    }
    let mut parts = token.trim_ascii().split(|byte| *byte == b'.');
    let (_head, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(payload)
}

/// The value at `path` in a JSON object: the member of exactly this name or, failing that, a member
/// of nested objects along the dots.
fn find<'a>(object: &'a str, path: &str) -> Option<&'a str> {
    member(object, path).or_else(|| {
        path.match_indices('.').find_map(|(dot, _)| {
            let (name, rest) = (path.get(..dot)?, path.get(dot + 1..)?);
            find(member(object, name)?, rest)
        })
    })
}

fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let mut json = serde_json::Deserializer::from_str(object);
    let found = FindMember(name).deserialize(&mut json).ok()?;
    json.end().ok()?;
    found.map(RawValue::get)
}

/// Deserializes one member of an object.
struct FindMember<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for FindMember<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FindMember<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Matches(self.0))? {
            if is_it {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Compares a string without copying it.
struct Matches<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Matches<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Matches<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(text == self.0)
    }
}
