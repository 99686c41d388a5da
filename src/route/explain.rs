//! Why a request takes the route that it takes, and no other. The table is asked as for any
//! request; only that nothing ends the search.

use std::fmt::{self, Display, Formatter};

use super::index::Candidate;
use super::request::{Request, host};
use super::slips::is_near_host;
use super::table::Row;
use super::{
    Filters, HeaderEdit, Match, PathMatch, PathRewrite, Place, Redirect, Route, RouteQuery,
    RouteTable, Unmet,
};
use crate::text::hidden::{Hidden, veiled};

/// Which route a request takes, and which others it only just does not.
#[derive(Debug)]
pub struct Explanation<'t> {
    /// The one that it takes.
    pub taken: Option<Verdict<'t>>,
    /// Others, the nearest first.
    pub near: Vec<Verdict<'t>>,
}

/// A route, and why it is taken or not.
#[derive(Clone, Debug)]
pub struct Verdict<'t> {
    /// What it is called.
    pub name: &'t str,
    /// Its number in the configuration, counted from 0.
    pub number: u32,
    /// Where it stands there.
    pub place: Place,
    /// What it asks for.
    pub matched: &'t Match,
    /// What becomes of its requests.
    pub route: &'t Route,
    /// Why.
    pub why: Why<'t>,
    hidden: &'t [Hidden],
}

impl Verdict<'_> {
    /// `words` about it, without what variables hold.
    pub fn tell(&self, words: impl Display) -> String {
        veiled(words.to_string(), self.hidden)
    }
}

/// Why a route is taken or not. [`Display`] says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'t> {
    /// It is the most specific one that matches.
    Taken,
    /// It matches too, but another is more specific.
    LessSpecific,
    /// All matches but this.
    Unmet(Unmet<'t>),
    /// All matches but the host.
    Host,
    /// All matches but some letters of the host.
    HostSlip,
    /// All matches but some letters of the path.
    PathSlip,
    /// All matches, but it is for gRPC and the request is not.
    NotGrpc,
}

impl RouteTable {
    /// Which route a request takes, and `most` others that it only just does not.
    pub fn explain(&self, query: &RouteQuery<'_>, most: usize) -> Explanation<'_> {
        let request = Request::new(query);
        let mut found = Found { taken: None, near: Vec::new(), most };
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
                let slip = is_near_host(host(query.authority), &row.matched.host);
                let why = if slip { Why::HostSlip } else { Why::Host };
                elsewhere.push((!slip, candidate.number, candidate, row, why));
            }
        });
        elsewhere.sort_unstable_by_key(|(far, number, ..)| (*far, *number));
        // Who gets what is left over may have mistyped what was meant.
        let is_rest = |taken: &Verdict<'_>| taken.matched.path == PathMatch::Any;
        if found.taken.as_ref().is_none_or(is_rest) {
            self.walk_slips(query, |candidate, row| found.note(candidate, row, Why::PathSlip));
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

/// What is known so far.
struct Found<'t> {
    taken: Option<Verdict<'t>>,
    near: Vec<Verdict<'t>>,
    most: usize,
}

impl<'t> Found<'t> {
    /// Notes a route, unless it is known already or there are enough.
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
            Why::HostSlip => f.write_str("asks for another host, a few letters off"),
            Why::PathSlip => f.write_str("asks for another path, a few letters off"),
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
    /// Each of them in words.
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
