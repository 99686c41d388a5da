//! `consistent_hash`: the same key goes to the same member, and when the set changes only the
//! keys of the members concerned move.
//!
//! A ring of virtual nodes (the `hashring` crate), `replicas` of them for each unit of weight,
//! built once for each set. Where a node lies depends on its address and its number alone, so
//! every worker, every gateway and every restart agrees on the ring, in whatever order the
//! members were given, and one member's weight moves only keys to or from it.
//!
//! The ring has at most [`MAX_NODES`] nodes, or one a member if there are more members. Beyond
//! that, all members' numbers of nodes are halved until it fits. Only when a change of the set
//! crosses such a step do keys of other members move as well.
//!
//! A request without the key, or with an empty one, goes to a member drawn by weight. One whose
//! member was tried in vain goes where its key points when hashed again with the number of the
//! attempt, so the keys of a broken member spread over all others instead of its neighbour.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashring::HashRing;

use super::draw::Weights;
use super::{Factory, KeySource, PickCx, Picker, Policy};
use crate::model::{BadParams, EndpointSet, ParamValue, Params};

/// Virtual nodes for each unit of weight: shares are off by about a sixteenth of themselves.
const DEFAULT_REPLICAS: u64 = 256;
/// Bounds a ring to 3 MiB and its building to some milliseconds.
const MAX_NODES: u64 = 1 << 17;
/// Hashings of one key before the first untried member is taken instead.
const MAX_HASHINGS: u32 = 16;

/// The policy. Settings: `key: { header: NAME }`, and `replicas` (256).
#[derive(Debug)]
pub struct ConsistentHash;

impl Policy for ConsistentHash {
    fn name(&self) -> &'static str {
        "consistent_hash"
    }

    fn configure(&self, params: Params) -> Result<Arc<dyn Factory>, BadParams> {
        let key = key_source(&params).unwrap_or_else(|message| {
            params.reject("key", message);
            KeySource::None
        });
        let replicas = params.number("replicas", DEFAULT_REPLICAS);
        if !(1..=MAX_NODES).contains(&replicas) {
            params.reject("replicas", format!("must be from 1 to {MAX_NODES}"));
        }
        params.finish()?;
        Ok(Arc::new(RingFactory { key, replicas }))
    }
}

fn key_source(params: &Params) -> Result<KeySource, String> {
    const EXAMPLE: &str = "write `key: { header: x-user-id }`";
    let entries = match params.get("key") {
        None => return Err(format!("is missing; {EXAMPLE}")),
        Some(ParamValue::Map(entries)) => entries,
        Some(ParamValue::Text(text)) => {
            return Err(format!("`{text}` does not say where the key is; {EXAMPLE}"));
        }
    };
    match entries.as_slice() {
        [(kind, name)] if kind == "header" => match http::HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Ok(KeySource::Header(name.as_str().into())),
            Err(_) => Err(format!("`{name}` is not a header's name; {EXAMPLE}")),
        },
        [(kind, _)] => Err(format!("`{kind}` is not supported, only `header` is; {EXAMPLE}")),
        _ => Err(format!("must name exactly one source; {EXAMPLE}")),
    }
}

#[derive(Debug)]
struct RingFactory {
    key: KeySource,
    replicas: u64,
}

impl Factory for RingFactory {
    fn build(&self, set: Arc<EndpointSet>) -> Box<dyn Picker> {
        let mut ring = HashRing::new();
        ring.batch_add(nodes(&set, self.replicas));
        Box::new(RingPicker { ring, weights: Weights::new(&set) })
    }

    fn key(&self) -> &KeySource {
        &self.key
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

/// What a request's place on the ring is the hash of.
struct Probe<'a> {
    key: &'a [u8],
    hashing: u32,
}

// Both write plain bytes: what the standard library's own `Hash` writes may change between builds.

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.address.as_bytes());
        state.write(&self.number.to_le_bytes());
    }
}

impl Hash for Probe<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.key);
        state.write(&self.hashing.to_le_bytes());
    }
}

struct RingPicker {
    ring: HashRing<Node>,
    weights: Weights,
}

impl Picker for RingPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> usize {
        let Some(key) = cx.key.filter(|key| !key.is_empty()) else {
            return self.weights.draw_untried(cx.tried, cx.rng);
        };
        let home = self.owner(key, 0);
        if !cx.tried.contains(&home) {
            return home;
        }
        let open = |index: &usize| !cx.tried.contains(index);
        (1..MAX_HASHINGS)
            .map(|hashing| self.owner(key, hashing))
            .find(open)
            .or_else(|| (0..self.weights.len()).find(open))
            .unwrap_or(home)
    }
}

impl RingPicker {
    fn owner(&self, key: &[u8], hashing: u32) -> usize {
        let node = self.ring.get(&Probe { key, hashing });
        node.map_or(0, |node| node.owner as usize)
    }
}
