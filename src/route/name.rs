//! What routes are called.
//!
//! A route that is given no name has one that says where its requests go and what it asks for, and
//! nothing else: it stays when routes are moved, come or go, and when weights change. All of the
//! table have different matches, so all names differ. What cannot be said in the characters of a
//! name, or is too long, or goes beyond host and path, is abridged, and a checksum of the whole
//! match stands behind it.

use std::collections::BTreeSet;

use super::{Conditions, Forward, HostMatch, Match, PathMatch, Route};
use crate::model::stable_hash;

/// The longest name, in characters.
pub const MAX_NAME: usize = 128;
/// Of the checksum of a match: 40 bits.
const CHECKSUM_DIGITS: usize = 10;

/// Reads the name of a route: such that it needs no quotes and no escapes in a label, a line of
/// the log or a shell's word.
///
/// # Errors
/// Says what is wrong and how to mend it.
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

/// The name of a route that is given none: `orders:shop.example:/api/*`.
pub(super) fn derived_name(matched: &Match, route: &Route) -> Box<str> {
    let mut name = Name::default();
    name.target(route);
    name.host(&matched.host);
    name.path(&matched.path);
    name.conditions(&matched.conditions);
    name.finish(matched)
}

/// Characters that stand for themselves in every part of a name.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_./".contains(&byte)
}

/// A name in the making.
#[derive(Default)]
struct Name {
    text: String,
    /// Whether something of the match is not in it.
    abridged: bool,
}

impl Name {
    /// The services that requests go to, whatever their order and shares.
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

    /// Each form has a shape that no other has, and that no host has.
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

    /// Their names only: values may be long, and secret.
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
