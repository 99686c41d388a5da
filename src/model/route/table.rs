//! The routes, so arranged that look-up asks little, however many there are.
//!
//! Hosts and paths are found by hashing. Only routes with the same host and path are asked one
//! after the other for their further conditions, and so are those of a host with a regular
//! expression, of which there may be [`MAX_PATTERNS`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;

use super::matches::MAX_HOST;
use super::{Conditions, HostMatch, Match, PathMatch, Place, Route, RouteQuery, Unmet};

/// Routes with a regular expression for the path that one host may have.
pub const MAX_PATTERNS: usize = 256;

type Map<V> = HashMap<Box<[u8]>, V, RandomState>;

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
        let slot = match &matched.path {
            PathMatch::Regex(_) | PathMatch::GrpcRegex(_) => {
                if paths.patterns.len() >= MAX_PATTERNS {
                    return Err(InsertError::TooManyPatterns);
                }
                &mut paths.patterns
            }
            PathMatch::Any => &mut paths.all,
            PathMatch::Exact(path) => paths.exact.entry(bytes(path)).or_default(),
            PathMatch::Prefix(path) => paths.prefixes.entry(path),
            PathMatch::GrpcService(path) => paths.services.entry(bytes(path)).or_default(),
            PathMatch::GrpcMethod(path) => paths.methods.entry(bytes(path)).or_default(),
        };
        let patterned = matches!(matched.path, PathMatch::Regex(_) | PathMatch::GrpcRegex(_));
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

/// The parts of a request that are looked at below the host.
pub(super) struct Request<'a> {
    query: &'a RouteQuery<'a>,
    /// Without query.
    path: &'a [u8],
    /// `/pkg.Service`, when the request is gRPC and has one.
    grpc_service: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    pub fn new(query: &'a RouteQuery<'a>) -> Request<'a> {
        let path = query.path.split(|b| *b == b'?').next().unwrap_or_default();
        let grpc_service = query.grpc.then(|| {
            let method = path.iter().skip(1).position(|b| *b == b'/')?;
            path.get(..=method)
        });
        Request { query, path, grpc_service: grpc_service.flatten() }
    }

    /// `pkg.Service/Method`.
    fn grpc_method(&self) -> Option<&'a [u8]> {
        self.grpc_service?;
        self.path.get(1..)
    }
}

/// The routes of one host.
#[derive(Debug, Default)]
struct Paths {
    methods: Map<Slot>,
    exact: Map<Slot>,
    services: Map<Slot>,
    patterns: Slot,
    prefixes: ByLength<Slot>,
    all: Slot,
}

impl Paths {
    fn walk<T>(
        &self,
        request: &Request<'_>,
        visit: &mut impl FnMut(Candidate) -> Option<T>,
    ) -> Option<T> {
        let service = request.grpc_service;
        service
            .and_then(|_| walk_at(&self.methods, request.path, visit))
            .or_else(|| walk_at(&self.exact, request.path, visit))
            .or_else(|| walk_at(&self.services, service?, visit))
            .or_else(|| self.patterns.walk(visit))
            .or_else(|| self.walk_prefixes(request.path, visit))
            .or_else(|| self.all.walk(visit))
    }

    fn walk_prefixes<T>(
        &self,
        path: &[u8],
        visit: &mut impl FnMut(Candidate) -> Option<T>,
    ) -> Option<T> {
        self.prefixes.lengths.iter().find_map(|length| {
            let (prefix, rest) = path.split_at_checked(*length)?;
            let whole_segments = rest.first().is_none_or(|b| *b == b'/');
            whole_segments.then(|| walk_at(&self.prefixes.map, prefix, visit))?
        })
    }

    fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        let maps = [&mut self.methods, &mut self.exact, &mut self.services, &mut self.prefixes.map];
        let slots = maps.into_iter().flat_map(|map| map.values_mut());
        slots.chain([&mut self.patterns, &mut self.all])
    }
}

fn walk_at<T>(
    map: &Map<Slot>,
    key: &[u8],
    visit: &mut impl FnMut(Candidate) -> Option<T>,
) -> Option<T> {
    map.get(key)?.walk(visit)
}

/// A route of a slot. Most ask for no more than host and path, and then nothing else is read to
/// know that they match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub number: u32,
    plain: bool,
}

/// The routes for one host and path, the most specific first; one beside the others, because
/// most slots have no more, and need no memory of their own then.
#[derive(Debug, Default)]
struct Slot {
    first: Option<Candidate>,
    rest: Vec<Candidate>,
}

impl Slot {
    fn walk<T>(&self, visit: &mut impl FnMut(Candidate) -> Option<T>) -> Option<T> {
        visit(self.first?).or_else(|| self.rest.iter().find_map(|next| visit(*next)))
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    fn push(&mut self, candidate: Candidate) {
        match self.first {
            None => self.first = Some(candidate),
            Some(_) => self.rest.push(candidate),
        }
    }

    /// By conditions; the first in the file goes before its equals.
    fn sort(&mut self, rows: &[Row]) {
        if self.rest.is_empty() {
            return;
        }
        let rank = |candidate: &Candidate| {
            rows.get(candidate.number as usize).map(|row| row.matched.conditions.rank())
        };
        let mut all: Vec<Candidate> = self.first.into_iter().chain(self.rest.drain(..)).collect();
        all.sort_by_cached_key(|candidate| std::cmp::Reverse(rank(candidate)));
        self.first = None;
        all.into_iter().for_each(|candidate| self.push(candidate));
    }
}

/// A map with the distinct lengths of its keys, longest first, so that a key that is the
/// beginning or end of something is found in as many steps as there are lengths.
#[derive(Debug)]
struct ByLength<V> {
    map: Map<V>,
    lengths: Vec<usize>,
}

impl<V: Default> ByLength<V> {
    fn entry(&mut self, key: &str) -> &mut V {
        let place = self.lengths.partition_point(|length| *length > key.len());
        if self.lengths.get(place) != Some(&key.len()) {
            self.lengths.insert(place, key.len());
        }
        self.map.entry(bytes(key)).or_default()
    }
}

impl<V> ByLength<V> {
    fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

impl<V> Default for ByLength<V> {
    fn default() -> ByLength<V> {
        ByLength { map: Map::default(), lengths: Vec::new() }
    }
}

fn bytes(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

/// The host of an authority.
pub(super) fn without_port(authority: &[u8]) -> &[u8] {
    let end = match authority.first() {
        Some(b'[') => authority.iter().position(|b| *b == b']').map(|at| at + 1),
        _ => authority.iter().position(|b| *b == b':'),
    };
    end.and_then(|end| authority.get(..end)).unwrap_or(authority)
}
