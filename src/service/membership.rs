//! Membership of a service: layers of intents by address, merged so that later layers win.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};

use crate::model::Address;

/// What one layer wants of a backend; `None` leaves the decision to the layers below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// Whether the backend is a member.
    pub present: Option<bool>,
    /// Weight.
    pub weight: Option<u32>,
    /// Whether it gets no new requests, whatever its weight.
    pub drained: Option<bool>,
    /// Whether it is about to end, and wants no new requests.
    pub terminating: Option<bool>,
}

impl Intent {
    fn over(self, below: Intent) -> Intent {
        Intent {
            present: self.present.or(below.present),
            weight: self.weight.or(below.weight),
            drained: self.drained.or(below.drained),
            terminating: self.terminating.or(below.terminating),
        }
    }
}

/// Intents of one layer by address, in the order in which backends are listed.
#[derive(Clone, Default, PartialEq)]
pub struct Layer {
    intents: Vec<(Address, Intent)>,
    /// Index into `intents`.
    index: HashMap<Address, usize>,
}

/// Prints an ordered map.
impl Debug for Layer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(address, intent)| (address.as_str(), intent)))
            .finish()
    }
}

/// Of two intents for one address, the later one counts, at the place of the first.
impl FromIterator<(Address, Intent)> for Layer {
    fn from_iter<I: IntoIterator<Item = (Address, Intent)>>(intents: I) -> Layer {
        let intents = intents.into_iter();
        let (expected, _) = intents.size_hint();
        let mut layer = Layer {
            intents: Vec::with_capacity(expected),
            index: HashMap::with_capacity(expected),
        };
        for (address, intent) in intents {
            match layer.index.get(&address).and_then(|at| layer.intents.get_mut(*at)) {
                Some(earlier) => earlier.1 = intent,
                None => {
                    layer.index.insert(address.clone(), layer.intents.len());
                    layer.intents.push((address, intent));
                }
            }
        }
        layer
    }
}

impl Layer {
    /// A layer of backends with these weights.
    pub fn of(members: impl IntoIterator<Item = (Address, u32)>) -> Layer {
        let intent = |(address, weight)| {
            (address, Intent { present: Some(true), weight: Some(weight), ..Intent::default() })
        };
        members.into_iter().map(intent).collect()
    }

    /// The intent for the backend at `address`.
    pub fn get(&self, address: &Address) -> Option<Intent> {
        self.index.get(address).and_then(|at| self.intents.get(*at)).map(|(_, intent)| *intent)
    }

    /// All intents, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Address, Intent)> {
        self.intents.iter().map(|(address, intent)| (address, *intent))
    }

    /// Number of addresses.
    pub fn len(&self) -> usize {
        self.intents.len()
    }

    /// Whether it has no intents.
    pub fn is_empty(&self) -> bool {
        self.intents.is_empty()
    }
}

/// Intents of all layers for one backend, merged, with defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedIntent {
    /// Weight.
    pub weight: u32,
    /// Whether an operator wants it to get no new requests, whatever its weight.
    pub drained: bool,
    /// Whether it is about to end, as a registry says, and gets no new requests.
    pub terminating: bool,
}

impl MergedIntent {
    /// Whether it gets no new requests, whatever its weight and condition.
    pub fn is_taken_out(&self) -> bool {
        self.drained || self.terminating
    }
}

/// Default weight.
const DEFAULT_WEIGHT: u32 = 1;

/// Merges `layers`, the lowest first: the backends of the lowest in its order, then those that each
/// layer above adds. An address is spelled as in the lowest layer that has it.
pub fn merge<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> Vec<(Address, MergedIntent)> {
    let present = intents(layers).filter(|(_, intent)| intent.present == Some(true));
    let merged = present.map(|(address, Intent { weight, drained, terminating, .. })| {
        let merged = MergedIntent {
            weight: weight.unwrap_or(DEFAULT_WEIGHT),
            drained: drained.unwrap_or(false),
            terminating: terminating.unwrap_or(false),
        };
        (address.clone(), merged)
    });
    merged.collect()
}

/// One layer that says what all of `layers` say together.
pub fn united<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> Layer {
    intents(layers).map(|(address, intent)| (address.clone(), intent)).collect()
}

/// The intents of all `layers`, the lowest first, each address once.
fn intents<'a>(
    layers: impl IntoIterator<Item = &'a Layer>,
) -> impl Iterator<Item = (&'a Address, Intent)> {
    let layers: Vec<&Layer> = layers.into_iter().filter(|layer| !layer.is_empty()).collect();
    if let [only] = *layers {
        return only.iter().collect::<Vec<_>>().into_iter(); // no address is in it twice
    }
    let most = layers.iter().map(|layer| layer.len()).sum();
    let mut all: Vec<(&Address, Intent)> = Vec::with_capacity(most);
    let mut index: HashMap<&Address, usize> = HashMap::with_capacity(most);
    for (address, intent) in layers.into_iter().flat_map(Layer::iter) {
        let at = *index.entry(address).or_insert(all.len());
        match all.get_mut(at) {
            Some((_, below)) => *below = intent.over(*below),
            None => all.push((address, intent)),
        }
    }
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn members(members: &[(&str, u32)]) -> Layer {
        Layer::of(members.iter().map(|(text, weight)| (address(text), *weight)))
    }

    fn merged(layers: &[&Layer]) -> Vec<(String, u32, bool)> {
        let merged = merge(layers.iter().copied()).into_iter();
        merged
            .map(|(at, MergedIntent { weight, drained, .. })| (at.to_string(), weight, drained))
            .collect()
    }

    fn row(text: &str, weight: u32, drained: bool) -> (String, u32, bool) {
        (text.into(), weight, drained)
    }

    #[test]
    fn later_layers_win_in_what_they_say() {
        let file = members(&[("A:1", 1), ("b:1", 2)]);
        let registry = members(&[("c:1", 3), ("a:1", 7)]);
        let drained = Intent { drained: Some(true), ..Intent::default() };
        let weighted = Intent { weight: Some(9), ..Intent::default() };
        let away = Intent { present: Some(false), ..Intent::default() };
        let operator: Layer =
            [(address("a:1"), drained), (address("c:1"), weighted), (address("B:1"), away)]
                .into_iter()
                .collect();
        assert_eq!(merged(&[]), []);
        assert_eq!(merged(&[&file]), [row("A:1", 1, false), row("b:1", 2, false)]);
        let expected = [row("A:1", 7, false), row("b:1", 2, false), row("c:1", 3, false)];
        assert_eq!(merged(&[&file, &registry]), expected);
        let expected = [row("A:1", 7, true), row("c:1", 9, false)];
        assert_eq!(merged(&[&file, &registry, &operator]), expected);
        let back = members(&[("b:1", 4)]);
        let expected = [row("A:1", 7, true), row("b:1", 4, false), row("c:1", 9, false)];
        assert_eq!(merged(&[&file, &registry, &operator, &back]), expected);
    }

    #[test]
    fn intents_for_absent_backends_add_none() {
        let weighted = Intent { weight: Some(9), ..Intent::default() };
        let layer: Layer = [(address("a:1"), weighted)].into_iter().collect();
        assert_eq!(merged(&[&layer]), []);
        let present = Intent { present: Some(true), ..Intent::default() };
        let below: Layer = [(address("a:1"), present)].into_iter().collect();
        assert_eq!(merged(&[&below]), [row("a:1", DEFAULT_WEIGHT, false)]);
        assert_eq!(merged(&[&below, &layer]), [row("a:1", 9, false)]);
    }

    #[test]
    fn a_layer_has_an_address_once() {
        let layer = members(&[("a:1", 1), ("b:1", 2), ("A:1", 3)]);
        assert_eq!((layer.len(), layer.is_empty()), (2, false));
        assert_eq!(merged(&[&layer]), [row("a:1", 3, false), row("b:1", 2, false)]);
        assert_eq!(layer.get(&address("B:1")).unwrap().weight, Some(2));
        assert_eq!(layer.get(&address("c:1")), None);
    }
}
