//! Parses arguments into API messages.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::Error;
use crate::control::proto::{HeaderField, NewBackend};

/// `BACKEND=WEIGHT`.
pub(super) fn weight(text: &str) -> Result<(String, u32), String> {
    let example = "write BACKEND=WEIGHT, such as 127.0.0.1:50051=20";
    let (address, weight) = text.rsplit_once('=').ok_or(example)?;
    let weight = weight.parse().map_err(|_| format!("`{weight}` is not a weight: {example}"))?;
    Ok((address.to_owned(), weight))
}

/// `SERVICE=WEIGHT`.
pub(super) fn share(text: &str) -> Result<(String, u32), String> {
    let example = "write SERVICE=WEIGHT, such as canary=10";
    let (service, weight) = text.rsplit_once('=').ok_or(example)?;
    let weight = weight.parse().map_err(|_| format!("`{weight}` is not a weight: {example}"))?;
    Ok((service.to_owned(), weight))
}

/// `BACKEND`, or `BACKEND=WEIGHT`.
pub(super) fn new_backend(text: &str) -> Result<NewBackend, String> {
    if !text.contains('=') {
        return Ok(NewBackend { address: text.to_owned(), weight: None });
    }
    weight(text).map(|(address, weight)| NewBackend { address, weight: Some(weight) })
}

/// `NAME=VALUE`.
pub(super) fn header(text: &str) -> Result<HeaderField, String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("write NAME=VALUE, such as x-canary=1")?;
    Ok(HeaderField { name: name.to_owned(), value: value.to_owned() })
}

/// `KEY=VALUE`, or `KEY.INNER=VALUE` for what the configuration has as `KEY: { INNER: VALUE }`.
pub(super) fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("write KEY=VALUE, such as key.header=x-user-id")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Weights by backend; duplicates are an error.
pub(super) fn weights(pairs: Vec<(String, u32)>) -> Result<BTreeMap<String, u32>, Error> {
    let mut unique = BTreeMap::new();
    for (address, weight) in pairs {
        if unique.contains_key(&address) {
            return Err(Error::Twice(address));
        }
        unique.insert(address, weight);
    }
    Ok(unique)
}

/// Settings with the structure of the configuration; duplicates are an error.
pub(super) fn settings(pairs: Vec<(String, String)>) -> Result<Struct, Error> {
    let mut settings = Struct::default();
    for (name, value) in pairs {
        let value = Value { kind: Some(Kind::StringValue(value)) };
        let before = match name.split_once('.') {
            None => settings.fields.insert(name.clone(), value),
            Some((key, inner)) => {
                let empty = || Value { kind: Some(Kind::StructValue(Struct::default())) };
                let map = settings.fields.entry(key.to_owned()).or_insert_with(empty);
                match &mut map.kind {
                    Some(Kind::StructValue(map)) => map.fields.insert(inner.to_owned(), value),
                    _ => Some(value),
                }
            }
        };
        if before.is_some() {
            return Err(Error::Twice(name));
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(texts: &[&str]) -> Vec<(String, String)> {
        texts.iter().map(|text| setting(text).unwrap()).collect()
    }

    #[test]
    fn settings_nest_by_dots() {
        let read = settings(pairs(&["replicas=64", "key.header=x-user-id"])).unwrap();
        let text = |value: &Value| match &value.kind {
            Some(Kind::StringValue(text)) => text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text(&read.fields["replicas"]), "64");
        let Some(Kind::StructValue(key)) = &read.fields["key"].kind else { panic!("a mapping") };
        assert_eq!(text(&key.fields["header"]), "x-user-id");
    }

    #[test]
    fn duplicates_are_refused() {
        for twice in
            [&["a=1", "a=2"][..], &["a.b=1", "a.b=2"], &["a=1", "a.b=2"], &["a.b=1", "a=2"]]
        {
            assert!(settings(pairs(twice)).is_err(), "{twice:?}");
        }
        assert!(weights(vec![("a:1".into(), 1), ("a:1".into(), 2)]).is_err());
        assert!(setting("key").is_err() && setting("=x").is_err());
    }

    #[test]
    fn a_new_backend_may_have_a_weight() {
        assert_eq!(new_backend("a:1").unwrap().weight, None);
        assert_eq!(new_backend("a:1=7").unwrap().weight, Some(7));
        assert!(new_backend("a:1=x").is_err());
        assert_eq!(weight("[::1]:1=0"), Ok(("[::1]:1".into(), 0)));
    }
}
