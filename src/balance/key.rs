//! Hash keys: which part of a request a policy hashes, by configuration.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::hashing::HASHING;
use crate::text::keys::{
    Absent, Form, Key, Keys, Plain, Row, Setting, Short, Text, Word, boolean, duration, section,
    text,
};
use crate::text::{ParamValue, Params, nearest};

/// The hash key of a request, and its fallback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where the key is taken from.
    pub source: KeySource,
    /// What is used if it is missing.
    pub fallback: Fallback,
}

/// Where a hash key is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The first value of a header, by its name in lower case.
    Header(Box<str>),
    /// The first cookie of this name.
    Cookie {
        /// Its name, case-sensitive.
        name: Box<str>,
        /// The cookie that the gateway sets for clients without one (session affinity), if it does.
        issue: Option<CookieIssue>,
    },
    /// The first parameter of this name in the path's query.
    Query(Box<str>),
    /// A claim of a bearer token, unverified.
    JwtClaim(Box<str>),
    /// The client's IP address.
    SourceAddress,
}

/// The affinity cookie that the gateway sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieIssue {
    /// Its Max-Age; a session cookie if absent.
    pub ttl: Option<Duration>,
    /// Its Path.
    pub path: Box<str>,
}

/// What is used if a request lacks the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// None: the member is drawn by weight.
    #[default]
    Random,
    /// The client's IP address.
    SourceAddress,
}

impl Word for Fallback {
    const WORDS: &'static [(&'static str, Fallback)] =
        &[("random", Fallback::Random), ("source_address", Fallback::SourceAddress)];
}

pub(super) const EXAMPLE: &str = "write `key: { header: x-user-id }`, or one of cookie, query and jwt_claim \
                       instead of header, or `key: source_address`";
const LONG: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::MAX;

section! {
    /// What of a request is hashed: one of the first four; the others go with `cookie`.
    pub(super) static KEY: RequestKey = "services.*.balancer.key", short Short::Word("source_address");

    header: Key<Box<str>> = header_name(), Absent::Nothing,
        "the first header of this name";
    cookie: Key<Box<str>> = cookie_name(), Absent::Nothing,
        "the first cookie of this name";
    query: Key<Box<str>> = parameter_name(), Absent::Nothing,
        "the first parameter of this name, as it stands in the URL";
    jwt_claim: Key<Box<str>> = text(&CLAIM, claim, ToString::to_string), Absent::Nothing,
        "a claim of the bearer token, which is **not verified**: it picks among equal backends and \
         must decide nothing else";
    set: Setting<bool> = boolean(), false, "clients without the cookie are given one";
    ttl: Key<Duration> = duration(LONG), Absent::Nothing,
        "how long they keep it; without, as long as they run. Needs `set: true`";
    path: Key<Box<str>> = text(&PATH, path, ToString::to_string), Absent::Words("/"),
        "below which they send it. Needs `set: true`";
}

/// The form of a header's name, in lower case.
pub const fn header_name() -> Form<Box<str>> {
    text(&TOKEN, header, ToString::to_string)
}

/// The form of a cookie's name.
pub const fn cookie_name() -> Form<Box<str>> {
    text(&TOKEN, cookie, ToString::to_string)
}

/// The form of the name of a parameter of a query.
pub const fn parameter_name() -> Form<Box<str>> {
    text(&PARAMETER, parameter, ToString::to_string)
}

/// Regular expression of a token, as header and cookie names are.
fn token() -> String {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]+".into()
}

static TOKEN: Text = Text { name: "name", range: "", pattern: token, plain: Plain::Any };
static PARAMETER: Text =
    Text { name: "name", range: "", pattern: || "[!-\"$%'-<>-~]+".into(), plain: Plain::Any };
static CLAIM: Text =
    Text { name: "name", range: "", pattern: || r"[\s\S]+".into(), plain: Plain::Any };
static PATH: Text =
    Text { name: "path", range: "", pattern: || "/[!-:<-~]*".into(), plain: Plain::Never };

impl KeySpec {
    /// Reads the settings `key` and `fallback`; invalid ones are noted in `params`.
    pub(super) fn read(params: &Params) -> KeySpec {
        let source = source(params);
        let always = source.as_ref().is_ok_and(KeySource::is_always_there);
        let source = source.unwrap_or_else(|message| {
            params.reject(&HASHING.key, message);
            KeySource::SourceAddress
        });
        if !always {
            return KeySpec { source, fallback: params.value(&HASHING.fallback) };
        }
        if params.get(&HASHING.fallback).is_some() {
            let message = "is never used, as every request has this key: remove it";
            params.reject(&HASHING.fallback, message);
        }
        KeySpec { source, fallback: HASHING.fallback.default }
    }
}

impl KeySource {
    fn is_always_there(&self) -> bool {
        matches!(self, KeySource::SourceAddress | KeySource::Cookie { issue: Some(_), .. })
    }
}

fn source(params: &Params) -> Result<KeySource, String> {
    match params.get(&HASHING.key) {
        None => Err(format!("is missing; {EXAMPLE}")),
        Some(ParamValue::Text(text)) if text == "source_address" => Ok(KeySource::SourceAddress),
        Some(ParamValue::Text(text)) => {
            Err(format!("`{text}` does not say where the key is; {EXAMPLE}"))
        }
        Some(ParamValue::Map(entries)) => named_source(entries),
    }
}

fn named_source(entries: &[(String, String)]) -> Result<KeySource, String> {
    let known = || KEY.section().rows().map(|row| row.name());
    if let Some((odd, _)) = entries.iter().find(|(key, _)| known().all(|known| known != key)) {
        let near = nearest(odd, known()).map(|near| format!("; did you mean `{near}`?"));
        return Err(near.map_or_else(
            || format!("`{odd}` is not known here; {EXAMPLE}"),
            |near| format!("`{odd}` is not known here{near}"),
        ));
    }
    let of = |row: &dyn Row| {
        entries.iter().find(|(key, _)| key == row.name()).map(|(_, value)| &**value)
    };
    type Source = fn(Box<str>) -> KeySource;
    let kinds: [(&Key<Box<str>>, Source); 4] = [
        (&KEY.header, KeySource::Header),
        (&KEY.cookie, |name| KeySource::Cookie { name, issue: None }),
        (&KEY.query, KeySource::Query),
        (&KEY.jwt_claim, KeySource::JwtClaim),
    ];
    let mut given = kinds.iter().filter_map(|(key, source)| Some((key, of(*key)?, source)));
    let (Some((key, name, source)), None) = (given.next(), given.next()) else {
        return Err(format!("must name exactly one source; {EXAMPLE}"));
    };
    let of_cookies: [&dyn Row; 3] = [&KEY.set, &KEY.ttl, &KEY.path];
    let odd = of_cookies.into_iter().find(|row| of(*row).is_some());
    match source(key.form.read(name)?) {
        KeySource::Cookie { name, .. } => Ok(KeySource::Cookie { name, issue: issue(of)? }),
        source => match odd {
            None => Ok(source),
            Some(odd) => Err(format!(
                "`{}` is for a cookie, and this is a {}: remove it",
                odd.name(),
                key.name()
            )),
        },
    }
}

fn header(name: &str) -> Result<Box<str>, String> {
    let name = http::HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("`{name}` is not a header's name: write one such as x-user-id"))?;
    Ok(name.as_str().into())
}

fn cookie(name: &str) -> Result<Box<str>, String> {
    // Cookie names are tokens like header names.
    match http::HeaderName::from_bytes(name.as_bytes()) {
        Ok(_) => Ok(name.into()),
        Err(_) => Err(format!("`{name}` is not a cookie's name: write one such as sid")),
    }
}

fn parameter(name: &str) -> Result<Box<str>, String> {
    let fitting = |byte: u8| byte.is_ascii_graphic() && !b"&=#".contains(&byte);
    if name.is_empty() || !name.bytes().all(fitting) {
        return Err(format!(
            "`{name}` is not a parameter's name: write it as it stands in the URL, such as user"
        ));
    }
    Ok(name.into())
}

fn claim(name: &str) -> Result<Box<str>, String> {
    match name {
        "" => Err("the claim's name is empty: write `sub`".into()),
        name => Ok(name.into()),
    }
}

fn path(text: &str) -> Result<Box<str>, String> {
    let fitting = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    if !text.starts_with('/') || !text.bytes().all(fitting) {
        return Err(format!("`{text}` is not a path: write one that begins with /"));
    }
    Ok(text.into())
}

fn issue<'a>(of: impl Fn(&dyn Row) -> Option<&'a str>) -> Result<Option<CookieIssue>, String> {
    let set = of(&KEY.set).map(|text| KEY.set.form.read(text)).transpose();
    let set = set.map_err(|message| format!("`set`: {message}"))?;
    if !set.unwrap_or(KEY.set.default) {
        let rest: [&dyn Row; 2] = [&KEY.ttl, &KEY.path];
        return match rest.into_iter().find(|row| of(*row).is_some()) {
            None => Ok(None),
            Some(row) => Err(format!(
                "`{}` is for a cookie that the gateway sets: add `set: true`, or remove it",
                row.name()
            )),
        };
    }
    let ttl = of(&KEY.ttl).map(|text| KEY.ttl.form.read(text)).transpose();
    let ttl = ttl.map_err(|message| format!("`ttl`: {message}"))?;
    Ok(Some(CookieIssue { ttl, path: KEY.path.form.read(of(&KEY.path).unwrap_or("/"))? }))
}
