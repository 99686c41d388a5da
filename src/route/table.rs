//! The route table, indexed so that lookup cost hardly depends on the number of routes.
//!
//! Host and path are found by hashing. Only routes with the same host and path, and a host's routes
//! with regular expressions (at most [`MAX_PATTERNS`]), are tried one by one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;

use super::conditions::Rank;
use super::hosts::Hosts;
use super::index::{Candidate, Index, Level};
use super::name::derived_name;
use super::request::Request;
use super::{Conditions, Match, PathMatch, Route, RouteQuery, SourceLocation, Split, Unmet};
use crate::text::redact::{Secret, redacted};

/// The maximum number of routes with a regular expression per host.
pub const MAX_PATTERNS: usize = 256;

/// The route table. Lookup does not allocate.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    rows: Vec<Row>,
    hosts: Hosts,
    index: Index,
    /// The remaining conditions that candidates refer to; the first has none.
    remaining: Vec<RemainingConditions>,
}

/// A route with its match.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub name: Box<str>,
    pub matched: Match,
    pub route: Route,
    pub place: SourceLocation,
    /// Values to redact from every text about it.
    pub hidden: Box<[Secret]>,
}

impl Row {
    /// Its match, formatted, with hidden values redacted.
    fn match_in_words(&self) -> String {
        redacted(self.matched.to_string(), &self.hidden)
    }
}

/// What remains to be checked once host and path are found. Interned, as many routes share the
/// same, mostly nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct RemainingConditions {
    /// The path's regular expression, if it is one.
    path: PathMatch,
    conditions: Conditions,
}

impl RemainingConditions {
    fn of(matched: &Match) -> RemainingConditions {
        let path = match &matched.path {
            path @ (PathMatch::Regex(_) | PathMatch::GrpcRegex(_)) => path.clone(),
            _ => PathMatch::Any,
        };
        RemainingConditions { path, conditions: matched.conditions.clone() }
    }

    /// The first remaining condition that a request does not meet.
    fn unmet(&self, request: &Request<'_>) -> Option<Unmet<'_>> {
        let (pattern, text) = match &self.path {
            PathMatch::Regex(pattern) => (pattern, Some(request.path)),
            PathMatch::GrpcRegex(pattern) => (pattern, request.grpc_method()),
            _ => return self.conditions.unmet(request.query),
        };
        match text.is_some_and(|text| pattern.matches(text)) {
            true => self.conditions.unmet(request.query),
            false => Some(Unmet::Path(pattern)),
        }
    }
}

/// Why a route cannot be inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// An earlier route (by index) has the same match.
    Duplicate(usize),
    /// An earlier route (by index) has the same name.
    NameTaken(usize, Box<str>),
    /// Its host already has [`MAX_PATTERNS`] routes with a regular expression.
    TooManyPatterns,
}

/// Builds a route table.
#[derive(Debug, Default)]
pub struct RouteTableBuilder {
    rows: Vec<Row>,
    hosts: Hosts,
    seen: HashMap<Match, usize, RandomState>,
    names: HashMap<Box<str>, usize, RandomState>,
    /// Numbers of routes with a regular expression, by host id.
    patterns: HashMap<u32, usize>,
}

impl RouteTableBuilder {
    /// Inserts a route from source location `place` under `name`, or a derived name; returns its
    /// index.
    ///
    /// # Errors
    /// Nothing is inserted.
    pub fn insert(
        &mut self,
        name: Option<Box<str>>,
        matched: Match,
        route: Route,
        place: SourceLocation,
    ) -> Result<usize, InsertError> {
        let number = self.rows.len();
        let seen = match self.seen.entry(matched.clone()) {
            Entry::Occupied(earlier) => return Err(InsertError::Duplicate(*earlier.get())),
            Entry::Vacant(free) => free,
        };
        let name = name.unwrap_or_else(|| derived_name(&matched, &route));
        if let Some(earlier) = self.names.get(&name) {
            return Err(InsertError::NameTaken(*earlier, name));
        }
        let (level, text) = Level::of(&matched.path);
        let host = self.hosts.host_mut(&matched.host);
        if level == Level::Pattern {
            let patterns = self.patterns.entry(host.id).or_default();
            if *patterns >= MAX_PATTERNS {
                return Err(InsertError::TooManyPatterns);
            }
            *patterns += 1;
        }
        host.note(level, text);
        seen.insert(number);
        self.names.insert(name.clone(), number);
        let hidden = Box::default();
        self.rows.push(Row { name, matched, route, place, hidden });
        Ok(number)
    }

    /// Redacts these values from every text about a route, except its name.
    pub fn hide(&mut self, number: usize, hidden: Vec<Secret>) {
        if let Some(row) = self.rows.get_mut(number) {
            row.hidden = hidden.into();
        }
    }

    /// The name of an inserted route.
    pub fn name(&self, number: usize) -> Option<&str> {
        self.rows.get(number).map(|row| &*row.name)
    }

    /// Builds the index.
    pub fn finish(mut self) -> RouteTable {
        let mut remaining = HashMap::from([(RemainingConditions::default(), 0)]);
        let mut found_by: HashMap<(u32, u8, &str), Candidates> = HashMap::new();
        for (number, row) in (0..).zip(&self.rows) {
            let (level, text) = Level::of(&row.matched.path);
            let host = self.hosts.host_mut(&row.matched.host).id;
            let next = remaining.len() as u32;
            let rest = *remaining.entry(RemainingConditions::of(&row.matched)).or_insert(next);
            let found = found_by.entry((host, level.bit(), text)).or_insert((level, Vec::new()));
            found.1.push((row.matched.conditions.rank(), Candidate { number, rest }));
        }
        let mut index = Index::default();
        for ((host, _, text), (level, mut same)) in found_by {
            // The sort is stable: among equals the first in the file takes precedence.
            same.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
            let routes: Vec<Candidate> = same.iter().map(|(_, candidate)| *candidate).collect();
            index.insert(host, level, text, &routes);
        }
        let mut remaining: Vec<(RemainingConditions, u32)> = remaining.into_iter().collect();
        remaining.sort_unstable_by_key(|(_, place)| *place);
        let remaining = remaining.into_iter().map(|(rest, _)| rest).collect();
        RouteTable { rows: self.rows, hosts: self.hosts, index, remaining }
    }
}

/// Routes with the same host, level and path, with their specificity.
type Candidates = (Level, Vec<(Rank, Candidate)>);

impl RouteTable {
    /// The most specific matching route.
    pub fn find(&self, query: &RouteQuery<'_>) -> Option<&Route> {
        self.find_numbered(query).map(|(_, route)| route)
    }

    /// As `find`, with the route's index in [`RouteTable::names`].
    pub fn find_numbered(&self, query: &RouteQuery<'_>) -> Option<(usize, &Route)> {
        let request = Request::new(query);
        self.walk(&request, |candidate, row| {
            let met = self.unmet(candidate, &request).is_none();
            met.then_some((candidate.number as usize, &row.route))
        })
    }

    /// The route at this index.
    pub fn route(&self, number: usize) -> Option<&Route> {
        self.rows.get(number).map(|row| &row.route)
    }

    /// The number of routes.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// All names, in the order of the configuration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| &*row.name)
    }

    /// The route of this name. Cold path: a linear search.
    pub fn get(&self, name: &str) -> Option<&Route> {
        self.rows.iter().find(|row| &*row.name == name).map(|row| &row.route)
    }

    /// The match of the route of this name, formatted. Cold path too.
    pub fn match_in_words(&self, name: &str) -> Option<String> {
        self.rows.iter().find(|row| &*row.name == name).map(Row::match_in_words)
    }

    /// All routes in the order of the configuration: name, action, formatted match.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Route, impl Fn() -> String)> {
        self.rows.iter().map(|row| (&*row.name, &row.route, || row.match_in_words()))
    }

    /// A copy in which the splits of some routes, by name, are replaced.
    pub fn with_splits(&self, splits: &HashMap<Box<str>, Split>) -> RouteTable {
        let mut table = self.clone();
        for row in &mut table.rows {
            if let (Some(split), Route::Forward(forward)) = (splits.get(&*row.name), &mut row.route)
            {
                forward.split = split.clone();
            }
        }
        table
    }

    /// Whether there are no routes.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All routes, in the order of the configuration.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Calls `visit` with the candidates for a request's host and path, most specific first, until
    /// it returns something.
    pub(super) fn walk<'t, T>(
        &'t self,
        request: &Request<'_>,
        mut visit: impl FnMut(Candidate, &'t Row) -> Option<T>,
    ) -> Option<T> {
        let mut at = |candidate: Candidate| visit(candidate, self.row(candidate)?);
        self.hosts.walk(request.query.authority, |host| self.index.walk(host, request, &mut at))
    }

    /// As [`RouteTable::walk`], over the routes of all hosts, in no particular order.
    pub(super) fn walk_all_hosts<'t>(
        &'t self,
        request: &Request<'_>,
        mut visit: impl FnMut(Candidate, &'t Row),
    ) {
        let mut at = |candidate: Candidate| -> Option<()> {
            visit(candidate, self.row(candidate)?);
            None
        };
        for host in self.hosts.iter() {
            self.index.walk(host, request, &mut at);
        }
    }

    /// The first remaining condition of a candidate that a request does not meet.
    pub(super) fn unmet(&self, candidate: Candidate, request: &Request<'_>) -> Option<Unmet<'_>> {
        match candidate.rest {
            0 => None,
            rest => self.remaining.get(rest as usize)?.unmet(request),
        }
    }

    fn row(&self, candidate: Candidate) -> Option<&Row> {
        self.rows.get(candidate.number as usize)
    }
}
