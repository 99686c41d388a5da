//! The hosts that routes ask for.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::HostMatch;
use super::index::{Lengths, Level, Text};
use super::matches::MAX_HOST;
use super::request::host;

/// All hosts.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    hasher: RandomState,
    named: HashTable<Named>,
    has_exact: bool,
    /// How long the names behind `*.` are.
    wildcards: Lengths,
    /// For routes that ask for no host.
    any: Host,
}

/// What there is for a host.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Its number; 0 stands for any.
    pub id: u32,
    /// The levels at which it has routes, as bits.
    pub levels: u8,
    /// How long the prefixes are that its routes ask for.
    pub prefixes: Lengths,
}

#[derive(Clone, Debug)]
struct Named {
    name: Text,
    /// It stands for all hosts below this name.
    below: bool,
    host: Host,
}

impl Host {
    /// Notes a route at a level and its key there.
    pub fn note(&mut self, level: Level, text: &str) {
        self.levels |= level.bit();
        if level == Level::Prefix {
            self.prefixes.insert(text.len());
        }
    }
}

impl Hosts {
    /// The host of a match, which is new if need be.
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
        let new = || Named { name: Text::new(name), below, host: Host { id, ..Host::default() } };
        &mut entry.or_insert_with(new).into_mut().host
    }

    /// Shows `visit` the hosts that routes for this authority may ask for, the most specific
    /// first.
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

    /// All of them, in no order.
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
