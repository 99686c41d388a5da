//! Explains which route a request takes, and why not others (`ctl route`). It uses the same walk as
//! routing, but visits every candidate.

use std::fmt::{self, Display, Formatter};

use super::index::Candidate;
use super::request::{Request, host};
use super::table::Row;
use super::typos::is_near_host;
use super::{
    Filters, HeaderEdit, Match, PathMatch, PathRewrite, Redirect, Route, RouteQuery, RouteTable,
    SourceLocation, Unmet,
};
use crate::text::redact::{Secret, redacted};

/// The route a request takes, and near misses.
#[derive(Debug)]
pub struct Explanation<'t> {
    /// The route taken.
    pub taken: Option<Verdict<'t>>,
    /// Near misses, the nearest first.
    pub near: Vec<Verdict<'t>>,
}

/// A route, and why it is taken or not.
#[derive(Clone, Debug)]
pub struct Verdict<'t> {
    /// The route's name.
    pub name: &'t str,
    /// Its index in the configuration.
    pub number: u32,
    /// Its source location.
    pub place: SourceLocation,
    /// Its match.
    pub matched: &'t Match,
    /// What it does with requests.
    pub route: &'t Route,
    /// The reason.
    pub why: Why<'t>,
    hidden: &'t [Secret],
}

impl Verdict<'_> {
    /// Formats `words` about it with hidden values redacted.
    pub fn tell(&self, words: impl Display) -> String {
        redacted(words.to_string(), self.hidden)
    }
}

/// Why a route is taken or not; [`Display`] puts it into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'t> {
    /// It is the most specific match.
    Taken,
    /// It matches too, but another route is more specific.
    LessSpecific,
    /// All but this condition matches.
    Unmet(Unmet<'t>),
    /// All but the host matches.
    Host,
    /// All matches, if the host has a typo.
    HostTypo,
    /// All matches, if the path has a typo.
    PathTypo,
    /// All matches, but the route is for gRPC and the request is not.
    NotGrpc,
}

impl RouteTable {
    /// The route that a request takes, and up to `most` near misses.
    pub fn explain(&self, query: &RouteQuery<'_>, most: usize) -> Explanation<'_> {
        let request = Request::new(query);
        let mut found = NearMisses { taken: None, near: Vec::new(), most };
        let mut patterns = Vec::new();
        self.walk(&request, |candidate, row| {
            match self.unmet(candidate, &request) {
                Some(unmet @ Unmet::Path(_)) => patterns.push((candidate, row, unmet)),
                Some(unmet) => found.note(candidate, row, Why::Unmet(unmet)),
                None if found.taken.is_some() => found.note(candidate, row, Why::LessSpecific),
                None => found.taken = Some(verdict(candidate, row, Why::Taken)),
            }
            (found.taken.is_some() && found.near.len() >= most).then_some(())
        });
        if !query.grpc {
            let call = RouteQuery { grpc: true, ..*query };
            let call = Request::new(&call);
            self.walk(&call, |candidate, row| -> Option<()> {
                if row.matched.path.is_grpc() && self.unmet(candidate, &call).is_none() {
                    found.note(candidate, row, Why::NotGrpc);
                }
                None
            });
        }
        let mut elsewhere = Vec::new();
        self.walk_all_hosts(&request, |candidate, row| {
            if self.unmet(candidate, &request).is_none() {
                let typo = is_near_host(host(query.authority), &row.matched.host);
                let why = if typo { Why::HostTypo } else { Why::Host };
                elsewhere.push((!typo, candidate.number, candidate, row, why));
            }
        });
        elsewhere.sort_unstable_by_key(|(far, number, ..)| (*far, *number));
        // A request that only the catch-all route takes may have a typo in its path.
        let is_catch_all = |taken: &Verdict<'_>| taken.matched.path == PathMatch::Any;
        if found.taken.as_ref().is_none_or(is_catch_all) {
            self.walk_typos(query, |candidate, row| found.note(candidate, row, Why::PathTypo));
        }
        for (.., candidate, row, why) in elsewhere {
            found.note(candidate, row, why);
        }
        for (candidate, row, unmet) in patterns {
            found.note(candidate, row, Why::Unmet(unmet));
        }
        Explanation { taken: found.taken, near: found.near }
    }
}

/// Results collected so far.
struct NearMisses<'t> {
    taken: Option<Verdict<'t>>,
    near: Vec<Verdict<'t>>,
    most: usize,
}

impl<'t> NearMisses<'t> {
    /// Adds a near miss, unless the route is listed already or the list is full.
    fn note(&mut self, candidate: Candidate, row: &'t Row, why: Why<'t>) {
        let mut known = self.taken.iter().chain(&self.near);
        if self.near.len() < self.most && known.all(|known| known.number != candidate.number) {
            self.near.push(verdict(candidate, row, why));
        }
    }
}

fn verdict<'t>(candidate: Candidate, row: &'t Row, why: Why<'t>) -> Verdict<'t> {
    let Row { name, matched, route, place, hidden } = row;
    Verdict { name, number: candidate.number, place: *place, matched, route, why, hidden }
}

impl Display for Why<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Why::Taken => f.write_str("is the most specific one that matches"),
            Why::LessSpecific => f.write_str("matches too, but is less specific"),
            Why::Host => f.write_str("asks for another host"),
            Why::HostTypo => f.write_str("asks for another host, a few letters off"),
            Why::PathTypo => f.write_str("asks for another path, a few letters off"),
            Why::NotGrpc => f.write_str("asks for a gRPC request"),
            Why::Unmet(Unmet::Path(pattern)) => {
                write!(f, "asks for a path that matches {}", pattern.as_str())
            }
            Why::Unmet(Unmet::Method(method)) => write!(f, "asks for method {method}"),
            Why::Unmet(Unmet::Header(field)) => write!(f, "asks for header {field}"),
            Why::Unmet(Unmet::Query(field)) => write!(f, "asks for query parameter {field}"),
        }
    }
}

impl Filters {
    /// Describes each filter.
    pub fn in_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.path.iter().map(|rewrite| format!("rewrite {rewrite}")));
        words.extend(self.host.iter().map(|host| format!("rewrite host to {host}")));
        words.extend(self.request.iter().map(|edit| format!("request: {edit}")));
        words.extend(self.response.iter().map(|edit| format!("response: {edit}")));
        words
    }
}

impl Display for HeaderEdit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            HeaderEdit::Set(name, value) => write!(f, "set {name}: {value}"),
            HeaderEdit::Add(name, value) => write!(f, "add {name}: {value}"),
            HeaderEdit::Remove(name) => write!(f, "remove {name}"),
        }
    }
}

impl Display for PathRewrite {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            PathRewrite::Full(path) => write!(f, "path to {path}"),
            PathRewrite::Prefix { with, .. } if with.is_empty() => f.write_str("prefix to /"),
            PathRewrite::Prefix { with, .. } => write!(f, "prefix to {with}"),
        }
    }
}

impl Display for Redirect {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.status.digits())?;
        self.scheme.iter().try_for_each(|scheme| write!(f, ", scheme {scheme}"))?;
        self.host.iter().try_for_each(|host| write!(f, ", host {host}"))?;
        self.port.iter().try_for_each(|port| write!(f, ", port {port}"))?;
        self.path.iter().try_for_each(|rewrite| write!(f, ", {rewrite}"))
    }
}
