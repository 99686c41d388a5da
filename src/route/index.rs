//! Hash index of routes by host and path: one table for all hosts, one cache line an entry, so that
//! a lookup among thousands of routes touches hardly more memory than among a few.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::hosts::Host;
use super::matches::PathMatch;
use super::request::Request;

/// How a path is looked up, most specific first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    GrpcMethod,
    Exact,
    GrpcService,
    /// By regular expression: all of the host's are tried.
    Pattern,
    Prefix,
    Any,
}

impl Level {
    /// The level of a path match, and its key there.
    pub fn of(path: &PathMatch) -> (Level, &str) {
        match path {
            PathMatch::GrpcMethod(path) => (Level::GrpcMethod, path),
            PathMatch::Exact(path) => (Level::Exact, path),
            PathMatch::GrpcService(path) => (Level::GrpcService, path),
            PathMatch::Regex(_) | PathMatch::GrpcRegex(_) => (Level::Pattern, ""),
            PathMatch::Prefix(path) => (Level::Prefix, path),
            PathMatch::Any => (Level::Any, ""),
        }
    }

    /// Its bit in a level set.
    pub const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A candidate route: host and path match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The route's index.
    pub number: u32,
    /// Its remaining conditions, as an index into the table's list.
    pub rest: u32,
}

/// The hash index, by host, level and path.
#[derive(Clone, Debug, Default)]
pub struct Index {
    hasher: RandomState,
    entries: HashTable<Entry>,
    /// Overflow of entries with several routes: all but the first.
    rest: Vec<Candidate>,
}

/// The routes of one host, level and path, most specific first.
#[derive(Clone, Debug)]
struct Entry {
    text: InlineText,
    first: Candidate,
    /// Range of the others in `Index::rest`.
    rest: (u32, u32),
    host: u32,
    level: Level,
}

impl Index {
    /// Inserts the routes of a host, level and path that is not in the index yet.
    pub fn insert(&mut self, host: u32, level: Level, text: &str, routes: &[Candidate]) {
        let Some((&first, others)) = routes.split_first() else { return };
        let begin = self.rest.len() as u32;
        self.rest.extend_from_slice(others);
        let rest = (begin, self.rest.len() as u32);
        let entry = Entry { text: InlineText::new(text.as_bytes()), first, rest, host, level };
        let Index { hasher, entries, .. } = self;
        let hash_of = |entry: &Entry| hash(hasher, entry.host, entry.level, entry.text.bytes());
        entries.insert_unique(hash_of(&entry), entry, hash_of);
    }

    /// Calls `visit` with a host's routes that match the request's path, most specific first.
    pub fn walk<T>(
        &self,
        host: &Host,
        request: &Request<'_>,
        visit: &mut impl FnMut(Candidate) -> Option<T>,
    ) -> Option<T> {
        let (path, service) = (request.path, request.grpc_service);
        service
            .and_then(|_| self.walk_at(host, Level::GrpcMethod, path, visit))
            .or_else(|| self.walk_at(host, Level::Exact, path, visit))
            .or_else(|| self.walk_at(host, Level::GrpcService, service?, visit))
            .or_else(|| self.walk_at(host, Level::Pattern, b"", visit))
            .or_else(|| {
                host.prefixes.iter().find_map(|length| {
                    let (prefix, rest) = path.split_at_checked(length)?;
                    let whole_segments = rest.first().is_none_or(|b| *b == b'/');
                    whole_segments.then(|| self.walk_at(host, Level::Prefix, prefix, visit))?
                })
            })
            .or_else(|| self.walk_at(host, Level::Any, b"", visit))
    }

    #[inline]
    fn walk_at<T>(
        &self,
        host: &Host,
        level: Level,
        text: &[u8],
        visit: &mut impl FnMut(Candidate) -> Option<T>,
    ) -> Option<T> {
        if host.levels & level.bit() == 0 { None } else { self.find(host, level, text, visit) }
    }

    fn find<T>(
        &self,
        host: &Host,
        level: Level,
        text: &[u8],
        visit: &mut impl FnMut(Candidate) -> Option<T>,
    ) -> Option<T> {
        let hash = hash(&self.hasher, host.id, level, text);
        let entry = self.entries.find(hash, |entry| {
            entry.host == host.id && entry.level == level && entry.text.bytes() == text
        })?;
        visit(entry.first).or_else(|| {
            let (begin, end) = entry.rest;
            self.rest.get(begin as usize..end as usize)?.iter().find_map(|next| visit(*next))
        })
    }
}

fn hash(hasher: &RandomState, host: u32, level: Level, text: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write_u64(u64::from(host) << 8 | u64::from(level as u8));
    state.write(text);
    state.finish()
}

/// The longest text that is stored inline.
const SHORT: usize = 38;

/// A string with small-string optimization.
#[derive(Clone, Debug)]
pub enum InlineText {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl InlineText {
    pub fn new(text: &[u8]) -> InlineText {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text);
                InlineText::Short(text.len() as u8, bytes)
            }
            None => InlineText::Long(text.into()),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            InlineText::Short(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or_default(),
            InlineText::Long(bytes) => bytes,
        }
    }
}

/// A set of lengths, iterated longest first.
#[derive(Clone, Debug, Default)]
pub struct Lengths {
    /// A bit set of those below 64.
    short: u64,
    long: Vec<usize>,
}

impl Lengths {
    pub fn insert(&mut self, length: usize) {
        if length < 64 {
            self.short |= 1 << length;
        } else {
            let place = self.long.partition_point(|other| *other > length);
            if self.long.get(place) != Some(&length) {
                self.long.insert(place, length);
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let mut left = self.short;
        let short = std::iter::from_fn(move || {
            let longest = left.checked_ilog2()?;
            left &= !(1 << longest);
            Some(longest as usize)
        });
        self.long.iter().copied().chain(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_fills_a_cache_line() {
        assert_eq!(size_of::<Entry>(), 64);
    }

    #[test]
    fn texts_of_every_length_are_kept() {
        for len in [0, 1, 37, 38, 39, 300] {
            let text = "x".repeat(len);
            assert_eq!(InlineText::new(text.as_bytes()).bytes(), text.as_bytes());
        }
    }

    #[test]
    fn lengths_are_unique_and_descending() {
        let mut lengths = Lengths::default();
        for length in [3, 200, 0, 63, 64, 3, 200, 65_536] {
            lengths.insert(length);
        }
        assert_eq!(lengths.iter().collect::<Vec<_>>(), [65_536, 200, 64, 63, 3, 0]);
    }
}
