//! Lookup of hosts, exact and wildcard.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::HostMatch;
use super::index::{InlineText, Lengths, Level};
use super::matches::MAX_HOST;
use super::request::host;

/// All hosts that routes name.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    hasher: RandomState,
    named: HashTable<Named>,
    has_exact: bool,
    /// The lengths of wildcard suffixes in use.
    wildcards: Lengths,
    /// Routes without a host.
    any: Host,
}

/// The summary of one host's routes, to skip needless lookups.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Its id in the index; 0 for routes without a host.
    pub id: u32,
    /// Bit set of the levels at which it has routes.
    pub levels: u8,
    /// The lengths of its path prefixes.
    pub prefixes: Lengths,
}

#[derive(Clone, Debug)]
struct Named {
    name: InlineText,
    /// Whether it is a wildcard.
    below: bool,
    host: Host,
}

impl Host {
    /// Registers a route's level and key.
    pub fn note(&mut self, level: Level, text: &str) {
        self.levels |= level.bit();
        if level == Level::Prefix {
            self.prefixes.insert(text.len());
        }
    }
}

impl Hosts {
    /// The host of a match, inserted if missing.
    pub fn host_mut(&mut self, matched: &HostMatch) -> &mut Host {
        let (below, name) = match matched {
            HostMatch::Any => return &mut self.any,
            HostMatch::Exact(name) => (false, name.as_bytes()),
            HostMatch::Below(name) => (true, name.as_bytes()),
        };
        match below {
            true => self.wildcards.insert(name.len()),
            false => self.has_exact = true,
        }
        let Hosts { hasher, named, .. } = self;
        let id = named.len() as u32 + 1;
        let same = |named: &Named| named.below == below && named.name.bytes() == name;
        let hash_of = |named: &Named| hash(hasher, named.below, named.name.bytes());
        let entry = named.entry(hash(hasher, below, name), same, hash_of);
        let new =
            || Named { name: InlineText::new(name), below, host: Host { id, ..Host::default() } };
        &mut entry.or_insert_with(new).into_mut().host
    }

    /// Calls `visit` with the hosts that match this authority, the most specific first.
    pub fn walk<T>(
        &self,
        authority: &[u8],
        mut visit: impl FnMut(&Host) -> Option<T>,
    ) -> Option<T> {
        self.walk_named(authority, &mut visit).or_else(|| visit(&self.any))
    }

    fn walk_named<T>(
        &self,
        authority: &[u8],
        visit: &mut impl FnMut(&Host) -> Option<T>,
    ) -> Option<T> {
        if self.named.is_empty() {
            return None;
        }
        let host = host(authority);
        let mut buffer = [0; MAX_HOST];
        let lower = buffer.get_mut(..host.len())?;
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        let lower: &[u8] = lower;
        let exact = self.has_exact.then(|| self.find(false, lower)).flatten();
        exact.and_then(&mut *visit).or_else(|| {
            self.wildcards.iter().find_map(|length| {
                let (below, parent) = lower.split_at_checked(lower.len().checked_sub(length)?)?;
                let below = below.strip_suffix(b".")?;
                visit((!below.is_empty()).then(|| self.find(true, parent))??)
            })
        })
    }

    fn find(&self, below: bool, name: &[u8]) -> Option<&Host> {
        let same = |named: &Named| named.below == below && named.name.bytes() == name;
        self.named.find(hash(&self.hasher, below, name), same).map(|named| &named.host)
    }

    /// All hosts, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.named.iter().map(|named| &named.host).chain([&self.any])
    }
}

fn hash(hasher: &RandomState, below: bool, name: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write_u8(below.into());
    state.write(name);
    state.finish()
}
