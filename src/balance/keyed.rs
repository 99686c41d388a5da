//! What the policies that hash a key have in common: all but where a key lies.
//!
//! A request without the key, or with an empty one, goes to a member drawn by weight. One whose
//! member was tried in vain, or has no room ([`Bound`]), goes where its key lies when hashed again
//! with the number of the attempt. So the keys of a broken or busy member spread over all others
//! by weight instead of over its neighbour, and each key finds the same candidates in the same
//! order every time.

use std::sync::Arc;

use super::bound::{self, Bound};
use super::draw::Weights;
use super::{KeySpec, PickCx, Picker};
use crate::model::{EndpointSet, Params};

/// Hashings of one key before the members are asked in turn.
const MAX_HASHINGS: u32 = 16;

/// Where keys lie.
pub(super) trait Places: Send + Sync {
    /// The member that owns `key` when it is hashed for the `hashing`th time, counted from 0.
    fn owner(&self, key: &[u8], hashing: u32) -> usize;
}

/// The settings that all these policies have.
#[derive(Debug)]
pub(super) struct Settings {
    pub key: KeySpec,
    bounded_load: Option<f64>,
}

impl Settings {
    /// Reads `key`, `fallback` and `bounded_load`; wrong ones are noted.
    pub fn read(params: &Params) -> Settings {
        Settings { key: KeySpec::read(params), bounded_load: bound::factor(params) }
    }

    /// The picker of `set` where keys lie in `places`.
    pub fn picker(&self, set: Arc<EndpointSet>, places: impl Places + 'static) -> Box<dyn Picker> {
        let weights = Weights::new(&set);
        let bound = self.bounded_load.map(|factor| Bound::new(factor, set, &weights));
        Box::new(KeyedPicker { places, weights, bound })
    }
}

struct KeyedPicker<P> {
    places: P,
    weights: Weights,
    bound: Option<Bound>,
}

impl<P: Places> Picker for KeyedPicker<P> {
    fn pick(&self, cx: &mut PickCx<'_>) -> usize {
        let Some(key) = cx.key.filter(|key| !key.is_empty()) else {
            return self.weights.draw_untried(cx.tried, cx.rng);
        };
        let untried = |index: &usize| !cx.tried.contains(index);
        match &self.bound {
            None => self.first(key, untried).unwrap_or_else(|| self.places.owner(key, 0)),
            Some(bound) => {
                let has_room = bound.room(cx.now);
                self.first(key, |index| untried(index) && has_room(*index))
                    .or_else(|| self.first(key, untried))
                    .unwrap_or_else(|| self.places.owner(key, 0))
            }
        }
    }
}

impl<P: Places> KeyedPicker<P> {
    /// The first of the key's candidates that is `open`: where it lies by one hashing after the
    /// other, then every member in turn.
    fn first(&self, key: &[u8], open: impl Fn(&usize) -> bool) -> Option<usize> {
        let mut last = 0;
        for hashing in 0..MAX_HASHINGS {
            last = self.places.owner(key, hashing);
            if open(&last) {
                return Some(last);
            }
        }
        (last..self.weights.len()).chain(0..last).find(open)
    }
}
