//! What of a request a policy hashes, as the configuration says.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::model::{ParamValue, Params, nearest, units};

/// What of a request is its key, and what is instead when the request lacks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where the key is.
    pub source: KeySource,
    /// What is done when it is not there.
    pub fallback: Fallback,
}

/// Where the key of a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The first value of a header, by its name in lower case.
    Header(Box<str>),
    /// The first cookie of this name.
    Cookie {
        /// The name, whose case matters.
        name: Box<str>,
        /// How clients that come without are given one, if they are.
        issue: Option<CookieIssue>,
    },
    /// The first parameter of this name in the path's query.
    Query(Box<str>),
    /// The claim of this name in a bearer token, of which nothing is verified.
    JwtClaim(Box<str>),
    /// The client's IP address.
    SourceAddress,
}

/// A cookie as the gateway sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieIssue {
    /// How long clients keep it; until they are closed when there is none.
    pub ttl: Option<Duration>,
    /// The path below which they send it.
    pub path: Box<str>,
}

/// What stands for a key that a request lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// No key: the member is drawn by weight.
    #[default]
    Random,
    /// The client's IP address.
    SourceAddress,
}

impl Display for Fallback {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fallback::Random => "random",
            Fallback::SourceAddress => "source_address",
        })
    }
}

const EXAMPLE: &str = "write `key: { header: x-user-id }`, or one of cookie, query and jwt_claim \
                       instead of header, or `key: source_address`";
/// Of these, a key has one.
const KINDS: [&str; 4] = ["header", "cookie", "query", "jwt_claim"];
/// And these besides, if it is a cookie.
const OF_COOKIES: [&str; 3] = ["set", "ttl", "path"];

impl KeySpec {
    /// Reads the settings `key` and `fallback`; wrong ones are noted.
    pub(super) fn read(params: &Params) -> KeySpec {
        let source = source(params);
        let fallback = |text: &str| match text {
            "random" => Ok(Fallback::Random),
            "source_address" => Ok(Fallback::SourceAddress),
            _ => Err(format!("unknown value `{text}`: write random or source_address")),
        };
        let fallback = match &source {
            Ok(source) if source.is_always_there() => params.optional("fallback", fallback),
            _ => Some(params.parsed("fallback", Fallback::Random, fallback)),
        };
        let fallback = fallback.unwrap_or_default();
        let source = match source {
            Ok(source) if source.is_always_there() && params.get("fallback").is_some() => {
                params
                    .reject("fallback", "is never used, as every request has this key: remove it");
                source
            }
            Ok(source) => source,
            Err(message) => {
                params.reject("key", message);
                KeySource::SourceAddress
            }
        };
        KeySpec { source, fallback }
    }
}

impl KeySource {
    fn is_always_there(&self) -> bool {
        matches!(self, KeySource::SourceAddress | KeySource::Cookie { issue: Some(_), .. })
    }
}

fn source(params: &Params) -> Result<KeySource, String> {
    match params.get("key") {
        None => Err(format!("is missing; {EXAMPLE}")),
        Some(ParamValue::Text(text)) if text == "source_address" => Ok(KeySource::SourceAddress),
        Some(ParamValue::Text(text)) => {
            Err(format!("`{text}` does not say where the key is; {EXAMPLE}"))
        }
        Some(ParamValue::Map(entries)) => named_source(entries),
    }
}

fn named_source(entries: &[(String, String)]) -> Result<KeySource, String> {
    let known = || KINDS.iter().chain(&OF_COOKIES).copied();
    if let Some((odd, _)) = entries.iter().find(|(key, _)| known().all(|known| known != key)) {
        let near = nearest(odd, known()).map(|near| format!("; did you mean `{near}`?"));
        return Err(near.map_or_else(
            || format!("`{odd}` is not known here; {EXAMPLE}"),
            |near| format!("`{odd}` is not known here{near}"),
        ));
    }
    let of = |name: &str| entries.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
    let mut given = KINDS.iter().filter_map(|kind| Some((*kind, of(kind)?)));
    let (Some((kind, name)), None) = (given.next(), given.next()) else {
        return Err(format!("must name exactly one source; {EXAMPLE}"));
    };
    let odd = OF_COOKIES.into_iter().find(|key| of(key).is_some());
    if let Some(odd) = odd.filter(|_| kind != "cookie") {
        return Err(format!("`{odd}` is for a cookie, and this is a {kind}: remove it"));
    }
    match kind {
        "header" => header(name).map(KeySource::Header),
        "query" => parameter(name).map(KeySource::Query),
        "jwt_claim" if name.is_empty() => Err("the claim's name is empty: write `sub`".into()),
        "jwt_claim" => Ok(KeySource::JwtClaim(name.into())),
        _ => Ok(KeySource::Cookie { name: cookie(name)?, issue: issue(of)? }),
    }
}

fn header(name: &str) -> Result<Box<str>, String> {
    let name = http::HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("`{name}` is not a header's name: write one such as x-user-id"))?;
    Ok(name.as_str().into())
}

fn cookie(name: &str) -> Result<Box<str>, String> {
    // Of the same characters as a header's name.
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

fn issue<'a>(of: impl Fn(&str) -> Option<&'a str>) -> Result<Option<CookieIssue>, String> {
    match of("set") {
        Some("true") => {}
        None | Some("false") => {
            return match ["ttl", "path"].into_iter().find(|key| of(key).is_some()) {
                None => Ok(None),
                Some(key) => Err(format!(
                    "`{key}` is for a cookie that the gateway sets: add `set: true`, or remove it"
                )),
            };
        }
        Some(other) => return Err(format!("`set: {other}` is neither true nor false")),
    }
    let ttl = of("ttl").map(units::parse_duration).transpose()?;
    if ttl.is_some_and(|ttl| ttl < Duration::from_secs(1)) {
        return Err("`ttl` must be at least 1s".into());
    }
    let path = of("path").unwrap_or("/");
    let fitting = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    if !path.starts_with('/') || !path.bytes().all(fitting) {
        return Err(format!("`{path}` is not a path: write one that begins with /"));
    }
    Ok(Some(CookieIssue { ttl, path: path.into() }))
}
