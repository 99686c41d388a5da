//! Common part of the hashing policies: keys, rehashing, fallback, excluded members.
//!
//! A request without the key, or with an empty one, goes to a member drawn by weight. If the key's
//! member was tried or has no room ([`Bound`]), the key is rehashed until it finds another one. So
//! the keys of a broken or busy member spread over all others by weight instead of over its
//! neighbour, and each key always finds the same candidates in the same order.
//!
//! A member that is temporarily excluded (unhealthy, ejected) keeps its places and is skipped in the
//! same way: its keys come back to it, and no others move. Nothing expensive is rebuilt for that,
//! and picks cost nothing extra while no member is excluded.

use std::array;
use std::hint::select_unpredictable;
use std::sync::Arc;

use super::bound::{self, Bound, FACTOR};
use super::key::{EXAMPLE, KEY};
use super::sampling::Weights;
use super::{Cost, Fallback, KeySpec, PickCx, Picker, explain};
use crate::model::{EndpointSet, ExchangeClass, Time, rehashed, stable_hash};
use crate::text::Params;
use crate::text::keys::{Absent, Key, Part, Setting, Shape, section, text, word};

/// Rehashes of a key before falling back to a linear scan.
const MAX_HASHINGS: usize = 16;

/// Sentinel: no member.
const NONE: usize = usize::MAX;

/// A hash structure: a ring or a table.
pub(super) trait Places: Send + Sync {
    /// The owner of this hash.
    fn owner(&self, hash: u64) -> usize;
}

section! {
    /// The keys that all these policies have.
    pub(super) static HASHING: Hashing = "balancer: *";

    key: Part = Shape::Mapping(&KEY), Absent::Required(EXAMPLE),
        "what of a request is hashed; or `source_address`, the client's IP address, `unix` for all \
         who come by a Unix socket";
    fallback: Setting<Fallback> = word(), Fallback::Random,
        "what is done without a key: any backend by weight, or by the client's address";
    bounded_load: Key<f64> = text(&FACTOR, bound::factor, ToString::to_string), Absent::Nothing,
        "so many times its share a backend may have of the calls in flight, and of the open \
         streams; what would, goes to the key's next choice";
}

/// The settings that all these policies have.
#[derive(Debug)]
pub(super) struct HashSettings {
    pub key: KeySpec,
    bounded_load: Option<f64>,
}

impl HashSettings {
    /// Reads the settings; invalid ones are noted in `params`.
    pub fn read(params: &Params) -> HashSettings {
        let bounded_load = params.optional(&HASHING.bounded_load);
        HashSettings { key: KeySpec::read(params), bounded_load }
    }

    /// The picker for `set`, whose keys are mapped by `places`.
    pub fn picker(&self, set: Arc<EndpointSet>, places: impl Places + 'static) -> Box<dyn Picker> {
        let shared = SharedPlaces { places, set, bounded_load: self.bounded_load };
        Box::new(KeyedPicker::new(Arc::new(shared), NoneExcluded))
    }
}

/// The expensive structure, shared by pickers that differ in their excluded members.
struct SharedPlaces<P> {
    places: P,
    set: Arc<EndpointSet>,
    bounded_load: Option<f64>,
}

/// The set of excluded members.
trait Excluded: Send + Sync {
    fn has(&self, index: usize) -> bool;
}

struct NoneExcluded;

impl Excluded for NoneExcluded {
    #[inline]
    fn has(&self, _: usize) -> bool {
        false
    }
}

/// A bitmap of excluded members.
struct ExcludedBitmap(Box<[u64]>);

impl ExcludedBitmap {
    fn of(excluded: &[usize], members: usize) -> ExcludedBitmap {
        let mut bits = vec![0; members.div_ceil(64)];
        for index in excluded {
            if let Some(word) = bits.get_mut(index / 64) {
                *word |= 1 << (index % 64);
            }
        }
        ExcludedBitmap(bits.into())
    }
}

impl Excluded for ExcludedBitmap {
    #[inline]
    fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

struct KeyedPicker<P, O> {
    shared: Arc<SharedPlaces<P>>,
    excluded: O,
    /// Weights of the members that are not excluded.
    weights: Weights,
    bound: Option<Bound>,
}

impl<P, O: Excluded> KeyedPicker<P, O> {
    fn new(shared: Arc<SharedPlaces<P>>, excluded: O) -> KeyedPicker<P, O> {
        let weights = Weights::of_included(&shared.set, |index| !excluded.has(index));
        let set = || Arc::clone(&shared.set);
        let bound = shared.bounded_load.map(|factor| Bound::new(factor, set(), &weights));
        KeyedPicker { shared, excluded, weights, bound }
    }
}

impl<P: Places + 'static, O: Excluded> Picker for KeyedPicker<P, O> {
    fn pick(&self, cx: &mut PickCx<'_>) -> usize {
        let Some(key) = cx.key.filter(|key| !key.is_empty()) else {
            return self.weights.draw_untried(cx.tried, cx.rng);
        };
        let hash = stable_hash(key, 0);
        let included = |index| !self.excluded.has(index);
        let untried = |index| included(index) && !cx.tried.contains(&index);
        let picked = match &self.bound {
            None => self.first::<1>(hash, untried),
            Some(bound) => {
                let has_room = bound.room(cx.class, cx.now);
                self.first::<2>(hash, |index| untried(index) & has_room(index))
                    .or_else(|| self.first::<1>(hash, untried))
            }
        };
        picked
            .or_else(|| self.first::<1>(hash, included))
            .unwrap_or_else(|| self.shared.places.owner(hash))
    }

    fn costs(&self, now: Time) -> Vec<Cost> {
        let Some(bound) = &self.bound else { return Vec::new() };
        let has_room = bound.room(ExchangeClass::Call, now);
        let (calls, _) = explain::in_flight(&self.shared.set);
        let cost = |(index, calls)| Cost {
            terms: vec![explain::calls_in_flight(calls)],
            why: (!has_room(index)).then(|| {
                let factor = self.shared.bounded_load.unwrap_or_default();
                format!("at its bound ({factor} times its share): its keys go to their next choice")
            }),
        };
        calls.into_iter().enumerate().map(cost).collect()
    }

    fn without(&self, excluded: &[usize]) -> Option<Box<dyn Picker>> {
        let shared = Arc::clone(&self.shared);
        let bitmap = ExcludedBitmap::of(excluded, shared.set.len());
        Some(match excluded {
            [] => Box::new(KeyedPicker::new(shared, NoneExcluded)),
            _ => Box::new(KeyedPicker::new(shared, bitmap)),
        })
    }
}

impl<P: Places, O: Excluded> KeyedPicker<P, O> {
    /// The first `open` candidate of the key: by rehashing, then by linear scan. `AT_ONCE` candidates are
    /// evaluated together: if the branch is unpredictable, a wasted evaluation costs less than a
    /// misprediction.
    #[inline]
    fn first<const AT_ONCE: usize>(
        &self,
        mut hash: u64,
        open: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut last = 0;
        for _ in 0..MAX_HASHINGS / AT_ONCE {
            let candidates: [usize; AT_ONCE] = array::from_fn(|_| {
                last = self.shared.places.owner(hash);
                hash = rehashed(hash);
                last
            });
            let first = candidates.into_iter().rev().fold(NONE, |later, candidate| {
                select_unpredictable(open(candidate), candidate, later)
            });
            if first != NONE {
                return Some(first);
            }
        }
        (last..self.weights.len()).chain(0..last).find(|index| open(*index))
    }
}
