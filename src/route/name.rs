//! Names of routes, given or derived.
//!
//! An unnamed route's name is derived from its services and its match and nothing else, so it is
//! stable when routes are reordered, added or removed, and when weights change. Matches are unique
//! in a table, so derived names are too. What does not fit a name's characters or length, or goes
//! beyond host and path, is abridged and disambiguated by a checksum of the whole match.

use std::collections::BTreeSet;

use super::{Conditions, Forward, HostMatch, Match, PathMatch, Route};
use crate::model::stable_hash;

/// The maximum length of a name, in characters.
pub const MAX_NAME: usize = 128;
/// Hex digits of the match's checksum: 40 bits.
const CHECKSUM_DIGITS: usize = 10;

/// Validates a route's name: it must need no quoting in a metric label, a log line or a shell.
///
/// # Errors
/// What is wrong, and how to fix it.
pub fn check_name(text: &str) -> Result<Box<str>, String> {
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let allowed = |b: u8| is_plain(b) || b":*+~".contains(&b);
    if !begins || text.len() > MAX_NAME || !text.bytes().all(allowed) {
        return Err(format!(
            "`{:.MAX_NAME$}` is not a name for a route: write 1 to {MAX_NAME} letters, digits and \
             characters of `-_./:*+~`, a letter or digit first",
            text.escape_debug().to_string()
        ));
    }
    Ok(text.into())
}

/// The name of an unnamed route: `orders:shop.example:/api/*`.
pub(super) fn derived_name(matched: &Match, route: &Route) -> Box<str> {
    let mut name = Name::default();
    name.target(route);
    name.host(&matched.host);
    name.path(&matched.path);
    name.conditions(&matched.conditions);
    name.finish(matched)
}

/// Characters that need no escaping in any part of a name.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_./".contains(&byte)
}

/// A name under construction.
#[derive(Default)]
struct Name {
    text: String,
    /// Part of the match was abridged, so a checksum is needed.
    abridged: bool,
}

impl Name {
    /// The services, regardless of order and weights.
    fn target(&mut self, route: &Route) {
        let Route::Forward(Forward { split, .. }) = route else {
            return self.text.push_str("redirect");
        };
        let services: BTreeSet<&str> = split.shares().iter().map(|share| &*share.name).collect();
        for (nth, service) in services.into_iter().enumerate() {
            self.text.push_str(if nth > 0 { "+" } else { "" });
            self.part(service);
        }
    }

    fn host(&mut self, host: &HostMatch) {
        match host {
            HostMatch::Any => {}
            HostMatch::Exact(host) => self.parts([":", host, ""]),
            HostMatch::Below(host) => self.parts([":*.", host, ""]),
        }
    }

    /// Each kind of path match has a distinct syntax, none of which looks like a host.
    fn path(&mut self, path: &PathMatch) {
        match path {
            PathMatch::Any => {}
            PathMatch::Exact(path) => self.parts([":", path, ""]),
            PathMatch::Prefix(path) => self.parts([":", path, "/*"]),
            PathMatch::GrpcMethod(path) => self.parts([":", grpc(path), ""]),
            PathMatch::GrpcService(path) => self.parts([":", grpc(path), "/*"]),
            PathMatch::Regex(pattern) | PathMatch::GrpcRegex(pattern) => {
                self.parts([":", pattern.as_str(), ""]);
                self.abridged = true;
            }
        }
    }

    /// Names of conditions only: values may be long or secret.
    fn conditions(&mut self, conditions: &Conditions) {
        let Conditions { method, headers, query } = conditions;
        let fields = headers.iter().chain(query).map(|field| &*field.name);
        for part in method.as_deref().into_iter().chain(fields) {
            self.parts([":", part, ""]);
            self.abridged = true;
        }
    }

    fn parts(&mut self, [before, part, after]: [&str; 3]) {
        self.text.push_str(before);
        self.part(part);
        self.text.push_str(after);
    }

    fn part(&mut self, part: &str) {
        for c in part.chars() {
            if u8::try_from(c).is_ok_and(is_plain) {
                self.text.push(c);
            } else {
                self.abridged = true;
                if !self.text.ends_with('-') {
                    self.text.push('-');
                }
            }
        }
    }

    fn finish(self, matched: &Match) -> Box<str> {
        let Name { text, abridged } = self;
        let text = text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        if !abridged && text.len() <= MAX_NAME {
            return text.into();
        }
        let checksum = stable_hash(matched.to_string().as_bytes(), 0) >> (64 - 4 * CHECKSUM_DIGITS);
        let room = MAX_NAME - CHECKSUM_DIGITS - 1;
        format!("{text:.room$}~{checksum:0CHECKSUM_DIGITS$x}").into()
    }
}

fn grpc(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}
