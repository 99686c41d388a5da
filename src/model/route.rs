//! Which services a request goes to: the most specific of the routes that it matches.
//!
//! The order is the Gateway API's. Hosts first: the exact one, then the longest wildcard, then
//! none; a host level without a matching route gives way to the next. Within a host: gRPC method,
//! exact path, gRPC service, longest path prefix, everything.

mod matches;

use std::collections::HashMap;

use foldhash::fast::RandomState;

pub use matches::{HostMatch, MAX_HOST, Match, PathMatch};

type Map<V> = HashMap<Box<[u8]>, V, RandomState>;

/// What of a request is looked at to find its route.
#[derive(Clone, Copy, Debug)]
pub struct RouteQuery<'a> {
    /// `:authority`, with or without port.
    pub authority: &'a [u8],
    /// `:path`, with or without query.
    pub path: &'a [u8],
    /// Whether it is a gRPC request.
    pub grpc: bool,
}

/// Where the requests of one route go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    first: usize,
    split: Box<[(usize, u32)]>,
    total: u64,
}

impl Route {
    /// All requests to the service of this index.
    pub fn to(service: usize) -> Route {
        Route { first: service, split: Box::default(), total: 1 }
    }

    /// Requests spread over services by weight; `None` when no weight is above 0.
    pub fn split(targets: impl IntoIterator<Item = (usize, u32)>) -> Option<Route> {
        let split: Box<[(usize, u32)]> = targets.into_iter().filter(|(_, w)| *w > 0).collect();
        let (first, _) = *split.first()?;
        let total = split.iter().map(|(_, weight)| u64::from(*weight)).sum();
        Some(Route { first, split, total })
    }

    /// The index of the service that one request goes to.
    pub fn choose(&self, rng: &mut fastrand::Rng) -> usize {
        if self.split.len() < 2 {
            return self.first;
        }
        let mut ticket = rng.u64(..self.total);
        for &(service, weight) in &self.split {
            match ticket.checked_sub(u64::from(weight)) {
                Some(left) => ticket = left,
                None => return service,
            }
        }
        self.first
    }
}

/// All routes. Looking one up costs a few hashes, however many there are, and allocates nothing.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    exact_hosts: Map<Paths>,
    wildcard_hosts: ByLength<Paths>,
    any_host: Paths,
}

impl RouteTable {
    /// Adds a route.
    ///
    /// # Errors
    /// The number, counted from 0, of an earlier route with the same match; nothing is added.
    pub fn insert(&mut self, matched: &Match, route: Route) -> Result<(), usize> {
        let paths = match &matched.host {
            HostMatch::Any => &mut self.any_host,
            HostMatch::Exact(host) => self.exact_hosts.entry(bytes(host)).or_default(),
            HostMatch::Below(host) => self.wildcard_hosts.entry(host).or_default(),
        };
        let slot = match &matched.path {
            PathMatch::Any => &mut paths.all,
            PathMatch::Exact(path) => paths.exact.entry(bytes(path)).or_default(),
            PathMatch::Prefix(path) => paths.prefixes.entry(path).or_default(),
            PathMatch::GrpcService(path) => paths.services.entry(bytes(path)).or_default(),
            PathMatch::GrpcMethod(path) => paths.methods.entry(bytes(path)).or_default(),
        };
        match *slot {
            Some(earlier) => Err(earlier),
            None => {
                *slot = Some(self.routes.len());
                self.routes.push(route);
                Ok(())
            }
        }
    }

    /// The most specific route that a request matches.
    pub fn find(&self, query: &RouteQuery<'_>) -> Option<&Route> {
        let request = Request::new(query);
        let found = self
            .find_by_host(query.authority, &request)
            .or_else(|| self.any_host.find(&request))?;
        self.routes.get(found)
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    fn find_by_host(&self, authority: &[u8], request: &Request<'_>) -> Option<usize> {
        if self.exact_hosts.is_empty() && self.wildcard_hosts.is_empty() {
            return None;
        }
        let host = without_port(authority);
        let mut buffer = [0; MAX_HOST];
        let lower = buffer.get_mut(..host.len())?;
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        let lower: &[u8] = lower;
        if let Some(found) = self.exact_hosts.get(lower).and_then(|p| p.find(request)) {
            return Some(found);
        }
        self.wildcard_hosts
            .lengths
            .iter()
            .filter_map(|length| {
                let (below, parent) = lower.split_at_checked(lower.len().checked_sub(*length)?)?;
                let below = below.strip_suffix(b".")?;
                (!below.is_empty()).then(|| self.wildcard_hosts.map.get(parent))?
            })
            .find_map(|paths| paths.find(request))
    }
}

/// The part of a request that is looked at below the host.
struct Request<'a> {
    path: &'a [u8],
    /// `/pkg.Service`, when the request is gRPC and has one.
    grpc_service: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn new(query: &RouteQuery<'a>) -> Request<'a> {
        let path = query.path.split(|b| *b == b'?').next().unwrap_or_default();
        let grpc_service = query.grpc.then(|| {
            let method = path.iter().skip(1).position(|b| *b == b'/')?;
            path.get(..=method)
        });
        Request { path, grpc_service: grpc_service.flatten() }
    }
}

/// The routes of one host, by number.
#[derive(Debug, Default)]
struct Paths {
    methods: Map<Option<usize>>,
    exact: Map<Option<usize>>,
    services: Map<Option<usize>>,
    prefixes: ByLength<Option<usize>>,
    all: Option<usize>,
}

impl Paths {
    fn find(&self, request: &Request<'_>) -> Option<usize> {
        let of = |map: &Map<Option<usize>>, key: &[u8]| map.get(key).copied().flatten();
        let method = request.grpc_service.map(|_| request.path);
        method
            .and_then(|path| of(&self.methods, path))
            .or_else(|| of(&self.exact, request.path))
            .or_else(|| of(&self.services, request.grpc_service?))
            .or_else(|| self.longest_prefix(request.path))
            .or(self.all)
    }

    fn longest_prefix(&self, path: &[u8]) -> Option<usize> {
        self.prefixes.lengths.iter().find_map(|length| {
            let (prefix, rest) = path.split_at_checked(*length)?;
            let whole_segments = rest.first().is_none_or(|b| *b == b'/');
            whole_segments.then(|| self.prefixes.map.get(prefix).copied().flatten())?
        })
    }
}

/// A map with the distinct lengths of its keys, longest first, so that a key that is the
/// beginning or end of something is found in as many steps as there are lengths.
#[derive(Debug)]
struct ByLength<V> {
    map: Map<V>,
    lengths: Vec<usize>,
}

impl<V> ByLength<V> {
    fn entry(&mut self, key: &str) -> std::collections::hash_map::Entry<'_, Box<[u8]>, V> {
        let place = self.lengths.partition_point(|length| *length > key.len());
        if self.lengths.get(place) != Some(&key.len()) {
            self.lengths.insert(place, key.len());
        }
        self.map.entry(bytes(key))
    }

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

fn without_port(authority: &[u8]) -> &[u8] {
    let end = match authority.first() {
        Some(b'[') => authority.iter().position(|b| *b == b']').map(|at| at + 1),
        _ => authority.iter().position(|b| *b == b':'),
    };
    end.and_then(|end| authority.get(..end)).unwrap_or(authority)
}

#[cfg(test)]
mod tests;
