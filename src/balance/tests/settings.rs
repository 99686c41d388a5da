//! The settings of the policies that hash a key: what is read, and what is refused how.

use std::sync::Arc;
use std::time::Duration;

use super::super::{CookieIssue, Factory, Fallback, KeySource, KeySpec, policy};
use crate::text::{ParamValue, Params};

fn map(entries: &[(&str, &str)]) -> ParamValue {
    let text = |(key, value): &(&str, &str)| ((*key).into(), (*value).into());
    ParamValue::Map(entries.iter().map(text).collect())
}

fn text(text: &str) -> ParamValue {
    ParamValue::Text(text.into())
}

fn configure(name: &str, entries: &[(&str, ParamValue)]) -> Result<Arc<dyn Factory>, String> {
    let entries = entries.iter().map(|(key, value)| ((*key).into(), value.clone()));
    let result = policy(name).unwrap().configure(Params::new(entries));
    result.map_err(|error| error.to_string())
}

#[test]
fn every_kind_of_key_is_read() {
    let issue = |ttl, path: &str| Some(CookieIssue { ttl, path: path.into() });
    let hour = Some(Duration::from_secs(3600));
    let cookie = |issue| KeySource::Cookie { name: "Sid".into(), issue };
    for (key, source) in [
        (map(&[("header", "X-User-Id")]), KeySource::Header("x-user-id".into())),
        (map(&[("query", "user")]), KeySource::Query("user".into())),
        (map(&[("jwt_claim", "user.id")]), KeySource::JwtClaim("user.id".into())),
        (text("source_address"), KeySource::SourceAddress),
        (map(&[("cookie", "Sid")]), cookie(None)),
        (map(&[("set", "false"), ("cookie", "Sid")]), cookie(None)),
        (map(&[("cookie", "Sid"), ("set", "true")]), cookie(issue(None, "/"))),
        (
            map(&[("cookie", "Sid"), ("set", "true"), ("ttl", "1h"), ("path", "/a")]),
            cookie(issue(hour, "/a")),
        ),
    ] {
        for name in ["consistent_hash", "maglev"] {
            let factory = configure(name, &[("key", key.clone())]).unwrap();
            let expected = KeySpec { source: source.clone(), fallback: Fallback::Random };
            assert_eq!(factory.key(), Some(&expected));
        }
    }
    let entries = [("key", map(&[("query", "q")])), ("fallback", text("source_address"))];
    let factory = configure("maglev", &entries).unwrap();
    assert_eq!(factory.key().unwrap().fallback, Fallback::SourceAddress);
}

#[test]
fn keys_that_are_wrong_are_named_with_the_fix() {
    let cookie = |more: (&'static str, &'static str)| map(&[("cookie", "sid"), more]);
    let issued = |more| map(&[("cookie", "sid"), ("set", "true"), more]);
    for (key, message) in [
        (text("x-user-id"), "`x-user-id` does not say where the key is; write `key: { header"),
        (map(&[]), "must name exactly one source; write `key: { header: x-user-id }`, or one of"),
        (map(&[("ttl", "1h")]), "must name exactly one source"),
        (map(&[("header", "x"), ("query", "x")]), "must name exactly one source"),
        (map(&[("headers", "x")]), "`headers` is not known here; did you mean `header`?"),
        (map(&[("source_address", "true")]), "not known here; write `key: { header: x-user-id }`"),
        (map(&[("header", "not a name")]), "`not a name` is not a header's name: write one such"),
        (map(&[("cookie", "a=b")]), "`a=b` is not a cookie's name: write one such as sid"),
        (map(&[("query", "a&b")]), "`a&b` is not a parameter's name: write it as it stands"),
        (map(&[("query", "")]), "`` is not a parameter's name"),
        (map(&[("jwt_claim", "")]), "the claim's name is empty: write `sub`"),
        (map(&[("header", "x"), ("ttl", "1h")]), "`ttl` is for a cookie, and this is a header"),
        (cookie(("ttl", "1h")), "`ttl` is for a cookie that the gateway sets: add `set: true`"),
        (cookie(("path", "/")), "`path` is for a cookie that the gateway sets"),
        (cookie(("set", "yes")), "`set`: `yes` is neither true nor false"),
        (issued(("ttl", "1")), "`ttl`: `1` is not a duration: write a number and a unit"),
        (issued(("ttl", "10ms")), "`ttl`: `10ms` is out of range: write 1s or more"),
        (issued(("path", "shop")), "`shop` is not a path: write one that begins with /"),
        (issued(("path", "/;x")), "`/;x` is not a path"),
    ] {
        for name in ["consistent_hash", "maglev"] {
            let error = configure(name, &[("key", key.clone())]).unwrap_err();
            assert!(error.starts_with("key: ") && error.contains(message), "{error}");
        }
    }
}

#[test]
fn other_settings_that_are_wrong_are_named_with_the_fix() {
    let header = || ("key", map(&[("header", "x")]));
    for (name, setting, message) in [
        ("consistent_hash", ("replicas", "0"), "replicas: `0` is out of range: write 1 to 131072"),
        ("consistent_hash", ("replica", "9"), "replica: unknown setting; did you mean `replicas`?"),
        (
            "maglev",
            ("table_size", "100"),
            "table_size: `100` is out of range: write 101 to 1048573",
        ),
        ("maglev", ("table_size", "65536"), "65536 is not prime: the next that is, is 65537"),
        ("maglev", ("table_size", "big"), "`big` is not a whole number"),
        ("maglev", ("replicas", "9"), "replicas: unknown setting"),
        ("maglev", ("bounded_load", "0.9"), "bounded_load: `0.9` is not a factor from 1 to 100"),
        ("maglev", ("bounded_load", "125%"), "write 1.25 for a quarter more"),
        ("maglev", ("bounded_load", "NaN"), "is not a factor"),
        ("maglev", ("bounded_load", "inf"), "is not a factor"),
        (
            "consistent_hash",
            ("fallback", "none"),
            "unknown value `none`: known here: random, source_address",
        ),
    ] {
        let entries = [header(), (setting.0, text(setting.1))];
        let error = configure(name, &entries).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    let both = [("key", map(&[("headers", "x")])), ("fallback", text("random"))];
    let error = configure("maglev", &both).unwrap_err();
    assert!(!error.contains("never used"), "nobody knows what the key is: {error}");
    let always = [("key", text("source_address")), ("fallback", text("random"))];
    let error = configure("maglev", &always).unwrap_err();
    assert!(error.starts_with("fallback: is never used"), "{error}");
    let error = configure("maglev", &[]).unwrap_err();
    assert!(error.starts_with("key: is missing; write `key: { header: x-user-id }`"), "{error}");
}
