//! `consistent_hash`: the same key goes to the same member, and when the set changes only the
//! keys of the members concerned move.
//!
//! A ring of virtual nodes (the `hashring` crate), `replicas` of them for each unit of weight,
//! built once for each set. Where a node lies depends on its address and its number alone, so
//! every worker, every gateway and every restart agrees on the ring, in whatever order the
//! members were given, and one member's weight moves only keys to or from it.
//!
//! The crate makes the ring, and its hash says where keys lie; but its own look-up is a binary
//! search among nodes of 24 bytes, a cache miss a step on a large ring. So what is kept are the
//! nodes in the order of the ring, eight bytes each, behind a guide ([`Sorted`]): two steps.
//!
//! The ring has at most [`MAX_NODES`] nodes, or one a member if there are more members. Beyond
//! that, all members' numbers of nodes are halved until it fits. Only when a change of the set
//! crosses such a step do keys of other members move as well.
//!
//! What is a key, and where those go that have none, or whose member cannot take them, is in
//! [`keyed`](super::keyed).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashring::HashRing;

use super::keyed::{Places, Settings};
use super::sorted::Sorted;
use super::{Factory, KeySpec, Picker, Policy};
use crate::model::{BadParams, EndpointSet, Params, stable_hash};

/// Virtual nodes for each unit of weight: shares are off by about a sixteenth of themselves.
const DEFAULT_REPLICAS: u64 = 256;
/// Bounds a ring to 1.2 MiB and its building to some milliseconds.
const MAX_NODES: u64 = 1 << 17;

/// The policy. Settings: those of [`Settings`], and `replicas` (256).
#[derive(Debug)]
pub struct ConsistentHash;

impl Policy for ConsistentHash {
    fn name(&self) -> &'static str {
        "consistent_hash"
    }

    fn configure(&self, params: Params) -> Result<Arc<dyn Factory>, BadParams> {
        let settings = Settings::read(&params);
        let replicas = params.number("replicas", DEFAULT_REPLICAS);
        if !(1..=MAX_NODES).contains(&replicas) {
            params.reject("replicas", format!("must be from 1 to {MAX_NODES}"));
        }
        params.finish()?;
        Ok(Arc::new(RingFactory { settings, replicas }))
    }
}

#[derive(Debug)]
struct RingFactory {
    settings: Settings,
    replicas: u64,
}

impl Factory for RingFactory {
    fn build(&self, set: Arc<EndpointSet>) -> Box<dyn Picker> {
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
        let address: Arc<str> = member.endpoint.address().into();
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
    /// Plain bytes: what the standard library's own `Hash` writes may change between builds.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.address.as_bytes());
        state.write(&self.number.to_le_bytes());
    }
}

/// The nodes as they lie on the ring, in eight bytes each.
struct Ring {
    /// The places, with the owner in the lowest bits, which tell no two places apart.
    nodes: Sorted,
    owner_bits: u32,
}

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
        Ring { nodes: Sorted::new(ring.into_iter().map(packed).collect::<Vec<_>>()), owner_bits }
    }
}

impl Places for Ring {
    #[inline]
    fn owner(&self, hash: u64) -> usize {
        let place = hash >> self.owner_bits << self.owner_bits;
        let nodes = self.nodes.numbers();
        let node = nodes.get(self.nodes.below(place)).or(nodes.first());
        node.map_or(0, |node| (node & !(u64::MAX << self.owner_bits)) as usize)
    }
}
