//! `consistent_hash`: the same key goes to the same member, and when the set changes only the
//! keys of the members concerned move.
//!
//! A ring of virtual nodes (the `hashring` crate), `replicas` of them for each unit of weight,
//! built once for each set. Where a node lies depends on its address and its number alone, so
//! every worker, every gateway and every restart agrees on the ring, in whatever order the
//! members were given, and one member's weight moves only keys to or from it.
//!
//! The crate builds and hashes the ring, but its lookup is a binary search: a cache miss a step on
//! a large ring. So there is also a compact index, of parts of one cache line with four bytes a
//! node: one miss, and no branch that depends on the key. For one key in a thousand, which it
//! cannot resolve, the binary search decides.
//!
//! The ring has at most [`MAX_NODES`] nodes, or one a member if there are more members. Beyond
//! that, all members' numbers of nodes are halved until it fits. Only when a change of the set
//! crosses such a step do keys of other members move as well.
//!
//! Keys, fallbacks and unavailable members are handled in [`hashing`](super::hashing).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashring::HashRing;

use super::hashing::{HASHING, HashSettings, Places};
use super::{Factory, KeySpec, Picker, Policy};
use crate::model::{EndpointSet, stable_hash};
use crate::text::keys::{Keys, Setting, number, section};
use crate::text::{BadParams, Params};

/// Virtual nodes per unit of weight: shares deviate by about a sixteenth.
const DEFAULT_REPLICAS: u64 = 256;
/// Limits a ring to 2 MiB, and the time to build it to some milliseconds.
const MAX_NODES: u64 = 1 << 17;

section! {
    /// The settings.
    static SETTINGS: RingKeys = "balancer: consistent_hash", also &HASHING;

    replicas: Setting<u64> = number(1..=MAX_NODES), DEFAULT_REPLICAS,
        "places on the ring for each unit of weight";
}

/// The policy.
#[derive(Debug)]
pub struct ConsistentHash;

impl Policy for ConsistentHash {
    fn name(&self) -> &'static str {
        "consistent_hash"
    }

    fn settings(&self) -> Option<&'static dyn Keys> {
        Some(&SETTINGS)
    }

    fn configure(&self, params: Params) -> Result<Arc<dyn Factory>, BadParams> {
        let settings = HashSettings::read(&params);
        let replicas = params.value(&SETTINGS.replicas);
        params.finish()?;
        Ok(Arc::new(RingFactory { settings, replicas }))
    }
}

#[derive(Debug)]
struct RingFactory {
    settings: HashSettings,
    replicas: u64,
}

impl Factory for RingFactory {
    fn build(&self, set: Arc<EndpointSet>, _: &mut fastrand::Rng) -> Box<dyn Picker> {
        let ring = Ring::new(nodes(&set, self.replicas));
        self.settings.picker(set, ring)
    }

    fn key(&self) -> Option<&KeySpec> {
        Some(&self.settings.key)
    }
}

fn nodes(set: &EndpointSet, replicas: u64) -> Vec<Node> {
    let mut halvings = 0;
    let count = |weight: u32, halvings: u32| ((u64::from(weight) * replicas) >> halvings).max(1);
    let total = |halvings| -> u64 { set.members().iter().map(|m| count(m.weight, halvings)).sum() };
    while total(halvings) > MAX_NODES.max(set.len() as u64) {
        halvings += 1;
    }
    let mut nodes = Vec::new();
    for (owner, member) in set.members().iter().enumerate() {
        let address: Arc<str> = member.endpoint.place().into();
        nodes.extend((0..count(member.weight, halvings)).map(|number| Node {
            address: Arc::clone(&address),
            number: number as u32,
            owner: owner as u32,
        }));
    }
    nodes
}

/// A virtual node. Its place on the ring is the hash of `address` and `number`.
struct Node {
    address: Arc<str>,
    number: u32,
    owner: u32,
}

impl Hash for Node {
    /// Hashes plain bytes: what the standard library's own `Hash` writes may change between builds.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.address.as_bytes());
        state.write(&self.number.to_le_bytes());
    }
}

/// The ring.
struct Ring {
    /// Sorted positions, with the owner in the lowest bits.
    nodes: Box<[u64]>,
    owner_bits: u32,
    /// Compact index: the ring cut into equal parts.
    parts: Box<[Part]>,
}

/// The nodes of a part: position within it in the high bits, owner in the low ones. Free places
/// hold the next node after the part, as if it were at the part's end.
#[repr(align(64))] // one cache line
struct Part([u32; PART_CAPACITY]);

/// Capacity of a part.
const PART_CAPACITY: usize = 16;
/// Average nodes in a part: one in three hundred overflows.
const NODES_PER_PART: usize = 8;

impl Ring {
    fn new(nodes: Vec<Node>) -> Ring {
        let most = nodes.iter().map(|node| node.owner).max().unwrap_or(0);
        let owner_bits = u32::BITS - most.leading_zeros();
        let mut ring = HashRing::new();
        ring.batch_add(nodes);
        let packed = |node: Node| {
            let place = stable_hash(node.address.as_bytes(), node.number);
            place >> owner_bits << owner_bits | u64::from(node.owner)
        };
        Ring::of(ring.into_iter().map(packed).collect(), owner_bits)
    }

    /// Builds the ring from `nodes`, which are sorted.
    fn of(nodes: Box<[u64]>, owner_bits: u32) -> Ring {
        let parts = nodes.len() / NODES_PER_PART + 1;
        let in_brief = |node: &u64| {
            let (part, within) = split(*node, parts);
            (part, within >> owner_bits << owner_bits | *node as u32 & !(u32::MAX << owner_bits))
        };
        let mut rest = nodes.iter().map(in_brief).peekable();
        let first = rest.peek().map_or(0, |(_, node)| *node);
        let part = |part| {
            let brief = std::array::from_fn(|_| {
                let own = rest.next_if(|(of, _)| *of == part).map(|(_, node)| node);
                own.unwrap_or_else(|| {
                    let after = rest.peek().map_or(first, |(_, node)| *node);
                    after | u32::MAX << owner_bits
                })
            });
            while rest.next_if(|(of, _)| *of == part).is_some() {}
            Part(brief)
        };
        let parts = (0..parts).map(part).collect();
        Ring { nodes, owner_bits, parts }
    }

    /// Looks up the owner of `place` in the compact index, unless that is too coarse.
    #[inline]
    fn near(&self, place: u64) -> Option<u32> {
        let (part, within) = split(place, self.parts.len());
        let within = within >> self.owner_bits << self.owner_bits;
        let Part(nodes) = self.parts.get(part)?;
        // Branch-free: all are compared, as the branch would be unpredictable.
        let below: usize = nodes.iter().map(|node| usize::from(*node < within)).sum();
        nodes.get(below).copied().filter(|node| (node ^ within) >> self.owner_bits != 0)
    }

    /// Looks up the owner of `place` by binary search.
    #[cold]
    fn exact(&self, place: u64) -> u32 {
        let next = self.nodes.partition_point(|node| *node < place);
        self.nodes.get(next).or(self.nodes.first()).map_or(0, |node| *node as u32)
    }
}

/// The part that `place` is in, and the offset within it.
#[inline]
fn split(place: u64, parts: usize) -> (usize, u32) {
    let point = u128::from(place) * parts as u128;
    ((point >> 64) as usize, (point >> 32) as u32)
}

impl Places for Ring {
    #[inline]
    fn owner(&self, hash: u64) -> usize {
        let place = hash >> self.owner_bits << self.owner_bits;
        let node = self.near(place).unwrap_or_else(|| self.exact(place));
        (node & !(u32::MAX << self.owner_bits)) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The owners of these places by a search among all nodes.
    fn check(nodes: &[u64], owner_bits: u32, places: impl IntoIterator<Item = u64>) {
        let ring = Ring::of(nodes.into(), owner_bits);
        let owners = !(u64::MAX << owner_bits);
        for place in places {
            let at_or_after = nodes.iter().find(|node| **node >= place & !owners);
            let expected = at_or_after.or(nodes.first()).map_or(0, |node| node & owners);
            assert_eq!(ring.owner(place) as u64, expected, "{place:x} of {nodes:x?}");
        }
    }

    #[test]
    fn none_one_and_the_ends_are_found() {
        let places = [0, 1, 7, 8, u64::MAX / 2, u64::MAX - 8, u64::MAX - 7, u64::MAX];
        for nodes in [&[][..], &[0], &[5], &[u64::MAX], &[3, u64::MAX], &[1, 2, 8, u64::MAX - 9]] {
            check(nodes, 3, places);
        }
    }

    proptest! {
        #[test]
        fn what_is_told_in_brief_is_what_a_search_finds(
            mut nodes in prop::collection::vec(any::<u64>(), 0..300),
            crowd in prop_oneof![Just(0u32), 0u32..64],
            owner_bits in 0u32..24,
            mut places in prop::collection::vec(any::<u64>(), 20),
        ) {
            for number in nodes.iter_mut().chain(&mut places) {
                *number >>= crowd;
            }
            nodes.sort_unstable();
            let near = nodes.iter().flat_map(|node| [node.wrapping_sub(1), *node, node.wrapping_add(1)]);
            check(&nodes, owner_bits, near.chain(places));
        }
    }
}
