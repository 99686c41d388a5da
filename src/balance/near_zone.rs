//! Preference of a zone: a part of the requests goes to the members of the gateway's own zone alone,
//! the rest to all members, as if there were no zones.
//!
//! How large that part is, is decided elsewhere, by load. With a part of 1 nothing leaves the zone
//! while any of its members is left; with 0 zones do not count. A key stays near or not by its hash,
//! so that with a smaller part some keys move, and the same ones come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{PickCx, Picker};
use crate::model::stable_hash;

/// Salt of a key's hash, so that it is independent of those that choose its member.
const SALT: u32 = u32::MAX - 1;

/// The part of the requests that stays near, 0 to 1: written by the service, read by each pick.
#[derive(Debug)]
pub struct NearPart(AtomicU64);

impl Default for NearPart {
    fn default() -> NearPart {
        NearPart(AtomicU64::new(1f64.to_bits()))
    }
}

impl NearPart {
    /// The part.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    /// Replaces it.
    pub fn set(&self, part: f64) {
        self.0.store(part.clamp(0.0, 1.0).to_bits(), Relaxed);
    }
}

/// The members of a set that are in the gateway's own zone.
pub struct NearZone {
    picker: Arc<dyn Picker>,
    /// The members' indices in the whole set, ascending, by their indices for the picker; `None` if
    /// these are the same.
    places: Option<Box<[usize]>>,
    /// Whether keys decide on the member.
    keyed: bool,
    part: Arc<NearPart>,
}

impl NearZone {
    /// Members with a picker of their own, whose index `i` is `places[i]` in the whole set.
    pub fn new(
        picker: Arc<dyn Picker>,
        places: Option<Box<[usize]>>,
        keyed: bool,
        part: Arc<NearPart>,
    ) -> NearZone {
        NearZone { picker, places, keyed, part }
    }

    /// The part of the requests that stays near.
    pub fn part(&self) -> f64 {
        self.part.get()
    }

    /// Picks among the near members or all, whose picker is `all`, by `pick`. Among all too if the
    /// near ones were tried. `tried` is memory.
    pub fn pick(
        &self,
        all: &dyn Picker,
        tried: &mut Vec<usize>,
        cx: &mut PickCx<'_>,
        pick: impl Fn(&dyn Picker, &mut PickCx<'_>) -> usize,
    ) -> usize {
        if !self.stays_near(cx) {
            return pick(all, cx);
        }
        let Some(index) = self.pick_near(tried, cx, &pick) else { return pick(all, cx) };
        if cx.tried.contains(&index) { pick(all, cx) } else { index }
    }

    fn stays_near(&self, cx: &mut PickCx<'_>) -> bool {
        let part = self.part.get();
        if part >= 1.0 {
            return true;
        }
        match cx.key.filter(|key| self.keyed && !key.is_empty()) {
            Some(key) => (stable_hash(key, SALT) as f64) < part * 2f64.powi(64),
            None => cx.rng.f64() < part,
        }
    }

    /// A near member, by its index in the whole set.
    fn pick_near(
        &self,
        tried: &mut Vec<usize>,
        cx: &mut PickCx<'_>,
        pick: impl Fn(&dyn Picker, &mut PickCx<'_>) -> usize,
    ) -> Option<usize> {
        let Some(places) = &self.places else { return Some(pick(&*self.picker, cx)) };
        tried.clear();
        tried.extend(cx.tried.iter().filter_map(|index| places.binary_search(index).ok()));
        let PickCx { key, class, ref mut rng, now, .. } = *cx;
        let near = pick(&*self.picker, &mut PickCx { key, class, tried, rng, now });
        places.get(near).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{POLICIES, policy};
    use super::*;
    use crate::model::{Endpoint, EndpointSet, ExchangeClass, Member, Time};
    use crate::text::Params;

    fn set(members: &[u8]) -> Arc<EndpointSet> {
        let member = |number: &u8| {
            let endpoint = Arc::new(Endpoint::new(&format!("10.0.0.{number}:80"), 1, Time::ZERO));
            Member { endpoint, weight: 1 }
        };
        Arc::new(EndpointSet::new(members.iter().map(member), Default::default()))
    }

    #[test]
    fn a_second_attempt_stays_near_while_any_is_left() {
        for name in POLICIES.iter().map(|policy| policy.name()) {
            let Ok(factory) = policy(name).unwrap().configure(Params::new(Vec::new())) else {
                continue; // it needs a key, and leaves members out of the same set
            };
            let rng = &mut fastrand::Rng::with_seed(1);
            let all = factory.build(set(&[0, 1, 2, 3]), rng);
            let near = Arc::from(factory.build(set(&[1, 3]), rng));
            let zone = NearZone::new(near, Some([1, 3].into()), false, Arc::default());
            let mut pick = |tried: &[usize]| {
                let class = ExchangeClass::Call;
                let cx = &mut PickCx { key: None, class, tried, rng, now: Time::ZERO };
                zone.pick(&*all, &mut Vec::new(), cx, |picker, cx| picker.pick(cx))
            };
            for _ in 0..50 {
                assert!([1, 3].contains(&pick(&[])), "{name}");
                assert_eq!((pick(&[1]), pick(&[0, 3])), (3, 1), "{name}");
                assert!([0, 2].contains(&pick(&[3, 1])), "{name}");
            }
        }
    }
}
