//! The routes, so arranged that look-up asks little, however many there are.
//!
//! Hosts and paths are found by hashing. Only routes with the same host and path are asked one
//! after the other for their further conditions, and so are those of a host with a regular
//! expression, of which there may be [`MAX_PATTERNS`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;

use super::matches::MAX_HOST;
use super::paths::{ByLength, Candidate, Map, Paths, Request, bytes};
use super::{Conditions, HostMatch, Match, PathMatch, Place, Route, RouteQuery, Unmet};

/// Routes with a regular expression for the path that one host may have.
pub const MAX_PATTERNS: usize = 256;

/// All routes. Looking one up allocates nothing.
#[derive(Debug, Default)]
pub struct RouteTable {
    rows: Vec<Row>,
    exact_hosts: Map<Paths>,
    wildcard_hosts: ByLength<Paths>,
    any_host: Paths,
}

/// A route and what it asks for.
#[derive(Debug)]
pub(super) struct Row {
    pub matched: Match,
    pub route: Route,
    pub place: Place,
}

impl Row {
    /// What of it a request does not meet that is found where the row stands.
    pub fn unmet(&self, request: &Request<'_>) -> Option<Unmet<'_>> {
        match &self.matched.path {
            PathMatch::Regex(pattern) if !pattern.matches(request.path) => {
                Some(Unmet::Path(pattern))
            }
            PathMatch::GrpcRegex(pattern)
                if !request.grpc_method().is_some_and(|name| pattern.matches(name)) =>
            {
                Some(Unmet::Path(pattern))
            }
            _ => self.matched.conditions.unmet(request.query),
        }
    }
}

/// Why a route cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// An earlier route, by its number from 0, has the same match.
    Duplicate(usize),
    /// Its host has [`MAX_PATTERNS`] routes with a regular expression already.
    TooManyPatterns,
}

/// A table that is being made.
#[derive(Debug, Default)]
pub struct RouteTableBuilder {
    table: RouteTable,
    seen: HashMap<Match, usize, RandomState>,
}

impl RouteTableBuilder {
    /// Adds the route that stands at `place`, and says its number.
    ///
    /// # Errors
    /// Nothing is added then.
    pub fn insert(
        &mut self,
        matched: Match,
        route: Route,
        place: Place,
    ) -> Result<usize, InsertError> {
        let number = self.table.rows.len();
        let seen = match self.seen.entry(matched.clone()) {
            Entry::Occupied(earlier) => return Err(InsertError::Duplicate(*earlier.get())),
            Entry::Vacant(free) => free,
        };
        let paths = self.table.paths_mut(&matched.host);
        let slot = paths.slot_mut(&matched);
        let patterned = matches!(matched.path, PathMatch::Regex(_) | PathMatch::GrpcRegex(_));
        if patterned && slot.len() >= MAX_PATTERNS {
            return Err(InsertError::TooManyPatterns);
        }
        let plain = !patterned && matched.conditions == Conditions::default();
        slot.push(Candidate { number: u32::try_from(number).unwrap_or(u32::MAX), plain });
        seen.insert(number);
        self.table.rows.push(Row { matched, route, place });
        Ok(number)
    }

    /// The table.
    pub fn finish(mut self) -> RouteTable {
        let RouteTable { rows, exact_hosts, wildcard_hosts, any_host } = &mut self.table;
        let hosts = exact_hosts.values_mut().chain(wildcard_hosts.map.values_mut());
        for paths in hosts.chain([any_host]) {
            paths.slots_mut().for_each(|slot| slot.sort(rows));
        }
        self.table
    }
}

impl RouteTable {
    /// The most specific route that a request matches.
    pub fn find(&self, query: &RouteQuery<'_>) -> Option<&Route> {
        let request = Request::new(query);
        self.walk(&request, |candidate, row| {
            let taken = candidate.plain || row.unmet(&request).is_none();
            taken.then_some(&row.route)
        })
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Shows `visit` the routes for the host and path of a request, the most specific first,
    /// until it has found what it is after.
    pub(super) fn walk<'t, T>(
        &'t self,
        request: &Request<'_>,
        mut visit: impl FnMut(Candidate, &'t Row) -> Option<T>,
    ) -> Option<T> {
        let mut at =
            |candidate: Candidate| visit(candidate, self.rows.get(candidate.number as usize)?);
        self.walk_hosts(request, &mut at).or_else(|| self.any_host.walk(request, &mut at))
    }

    /// As [`RouteTable::walk`], but through the routes of every host, in no order.
    pub(super) fn walk_all_hosts<'t>(
        &'t self,
        request: &Request<'_>,
        mut visit: impl FnMut(Candidate, &'t Row),
    ) {
        let mut at = |candidate: Candidate| -> Option<()> {
            visit(candidate, self.rows.get(candidate.number as usize)?);
            None
        };
        let hosts = self.exact_hosts.values().chain(self.wildcard_hosts.map.values());
        for paths in hosts.chain([&self.any_host]) {
            paths.walk(request, &mut at);
        }
    }

    fn walk_hosts<T>(
        &self,
        request: &Request<'_>,
        visit: &mut impl FnMut(Candidate) -> Option<T>,
    ) -> Option<T> {
        if self.exact_hosts.is_empty() && self.wildcard_hosts.is_empty() {
            return None;
        }
        let host = without_port(request.query.authority);
        let mut buffer = [0; MAX_HOST];
        let lower = buffer.get_mut(..host.len())?;
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        let lower: &[u8] = lower;
        if let Some(paths) = self.exact_hosts.get(lower)
            && let Some(found) = paths.walk(request, visit)
        {
            return Some(found);
        }
        let below = self.wildcard_hosts.lengths.iter().filter_map(|length| {
            let (below, parent) = lower.split_at_checked(lower.len().checked_sub(*length)?)?;
            let below = below.strip_suffix(b".")?;
            (!below.is_empty()).then(|| self.wildcard_hosts.map.get(parent))?
        });
        below.into_iter().find_map(|paths| paths.walk(request, visit))
    }

    fn paths_mut(&mut self, host: &HostMatch) -> &mut Paths {
        match host {
            HostMatch::Any => &mut self.any_host,
            HostMatch::Exact(host) => self.exact_hosts.entry(bytes(host)).or_default(),
            HostMatch::Below(host) => self.wildcard_hosts.entry(host),
        }
    }
}

/// The host of an authority.
pub(super) fn without_port(authority: &[u8]) -> &[u8] {
    let end = match authority.first() {
        Some(b'[') => authority.iter().position(|b| *b == b']').map(|at| at + 1),
        _ => authority.iter().position(|b| *b == b':'),
    };
    end.and_then(|end| authority.get(..end)).unwrap_or(authority)
}
