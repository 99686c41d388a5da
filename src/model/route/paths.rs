//! The routes of one host by their paths.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::table::Row;
use super::{Match, PathMatch, RouteQuery};

pub type Map<V> = HashMap<Box<[u8]>, V, RandomState>;

/// The parts of a request that are looked at below the host.
pub struct Request<'a> {
    pub query: &'a RouteQuery<'a>,
    /// Without query.
    pub path: &'a [u8],
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
    pub fn grpc_method(&self) -> Option<&'a [u8]> {
        self.grpc_service?;
        self.path.get(1..)
    }
}

/// The routes of one host.
#[derive(Debug, Default)]
pub struct Paths {
    methods: Map<Slot>,
    exact: Map<Slot>,
    services: Map<Slot>,
    patterns: Slot,
    prefixes: ByLength<Slot>,
    all: Slot,
}

impl Paths {
    /// Where a route with this match belongs.
    pub fn slot_mut(&mut self, matched: &Match) -> &mut Slot {
        match &matched.path {
            PathMatch::Regex(_) | PathMatch::GrpcRegex(_) => &mut self.patterns,
            PathMatch::Any => &mut self.all,
            PathMatch::Exact(path) => self.exact.entry(bytes(path)).or_default(),
            PathMatch::Prefix(path) => self.prefixes.entry(path),
            PathMatch::GrpcService(path) => self.services.entry(bytes(path)).or_default(),
            PathMatch::GrpcMethod(path) => self.methods.entry(bytes(path)).or_default(),
        }
    }

    /// Shows `visit` the routes for the path of a request, the most specific first.
    pub fn walk<T>(
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

    /// All slots, to put them in order.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
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
pub struct Candidate {
    pub number: u32,
    pub plain: bool,
}

/// The routes for one host and path, the most specific first; one beside the others, because
/// most slots have no more, and need no memory of their own then.
#[derive(Debug, Default)]
pub struct Slot {
    first: Option<Candidate>,
    rest: Vec<Candidate>,
}

impl Slot {
    fn walk<T>(&self, visit: &mut impl FnMut(Candidate) -> Option<T>) -> Option<T> {
        visit(self.first?).or_else(|| self.rest.iter().find_map(|next| visit(*next)))
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Puts a route behind the others.
    pub fn push(&mut self, candidate: Candidate) {
        match self.first {
            None => self.first = Some(candidate),
            Some(_) => self.rest.push(candidate),
        }
    }

    /// By conditions; the first in the file goes before its equals.
    pub fn sort(&mut self, rows: &[Row]) {
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
pub struct ByLength<V> {
    pub map: Map<V>,
    pub lengths: Vec<usize>,
}

impl<V: Default> ByLength<V> {
    /// The value at `key`.
    pub fn entry(&mut self, key: &str) -> &mut V {
        let place = self.lengths.partition_point(|length| *length > key.len());
        if self.lengths.get(place) != Some(&key.len()) {
            self.lengths.insert(place, key.len());
        }
        self.map.entry(bytes(key)).or_default()
    }
}

impl<V> ByLength<V> {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

impl<V> Default for ByLength<V> {
    fn default() -> ByLength<V> {
        ByLength { map: Map::default(), lengths: Vec::new() }
    }
}

/// A key.
pub fn bytes(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}
