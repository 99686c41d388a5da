//! The pickers of a service: one for all backends, and one without those that are unavailable.

use std::collections::HashSet;
use std::sync::Arc;

use super::Balancer;
use super::desired::Backend;
use super::standing::{BackendState, Standing};
use crate::balance::{NearPart, NearZone, Picker};
use crate::model::{EndpointId, EndpointSet, Member, Time};

/// What a weight of 1 is divided into for addresses that share it: many numbers divide it.
const SHARED_UNIT: u64 = 2520;

/// A picker, and the set that it was built from.
#[derive(Clone)]
pub(super) struct BuiltPicker {
    /// The endpoints that its indices refer to: the eligible ones, and with policies that give members
    /// fixed places (such as hash rings) also those that are excluded for now.
    pub set: Arc<EndpointSet>,
    /// `None` if no endpoint is eligible.
    pub picker: Option<Arc<dyn Picker>>,
}

/// The pickers of a service. An exclusion reuses the full picker where the policy can, so that
/// backends find their places again when they return.
pub(super) struct Pickers {
    /// As if no backend were excluded. Expensive tables are built here.
    full: BuiltPicker,
    /// Indices into its set of the excluded backends.
    excluded: Vec<usize>,
    /// Without them: the one in use.
    pub current: BuiltPicker,
    /// Of those in the gateway's zone, where that is preferred.
    near: Option<NearPicker>,
}

/// The picker of the backends in the gateway's zone.
#[derive(Clone)]
struct NearPicker {
    /// Their indices in the set that is in use.
    members: Box<[usize]>,
    picker: Arc<dyn Picker>,
    /// The picker refers to them by their indices here, and not by those of the set.
    own_indices: bool,
    /// Keys decide on the member.
    keyed: bool,
}

impl Pickers {
    /// Builds pickers for `backends`, or reuses those `before`, of the same balancer. Slow with many
    /// backends.
    pub(super) fn of(
        balancer: &Balancer,
        zone: Option<&str>,
        backends: &[Backend],
        now: Time,
        before: Option<&Pickers>,
        rng: &mut fastrand::Rng,
    ) -> Pickers {
        let all: Vec<(&Backend, Standing)> =
            backends.iter().map(|backend| (backend, backend.standing(now))).collect();
        let set = |weight: fn(&Backend, &Standing) -> u32| {
            let weights: Vec<(u32, u32)> = all
                .iter()
                .map(|(backend, standing)| (weight(backend, standing), backend.shared_by))
                .collect();
            let member = |((backend, _), weight): (&(&Backend, Standing), u32)| Member {
                endpoint: Arc::clone(&backend.endpoint),
                weight,
            };
            let members = all.iter().zip(shared(&weights)).map(member);
            EndpointSet::new(members, balancer.factory.ewma())
        };
        let full = set(weight_if_available);
        let available =
            all.iter().filter(|(backend, standing)| weight_if_available(backend, standing) > 0);
        let excluded = available.enumerate().filter(|(_, (_, standing))| standing.weight == 0);
        let excluded: Vec<usize> = excluded.map(|(index, _)| index).collect();
        let full = BuiltPicker::of(balancer, full, before.map(|before| &before.full), rng);
        let unchanged =
            before.filter(|it| it.excluded == excluded && Arc::ptr_eq(&it.full.set, &full.set));
        let current = match (unchanged, &*excluded) {
            (Some(before), _) => before.current.clone(),
            (None, []) => full.clone(),
            (None, some) => match full.without(some) {
                Some(reduced) => reduced,
                None => BuiltPicker::of(balancer, set(|_, standing| standing.weight), None, rng),
            },
        };
        let near = zone.and_then(|zone| {
            let near = all.iter().filter(|(it, standing)| standing.weight > 0 && it.is_in(zone));
            let near: HashSet<EndpointId> = near.map(|(it, _)| it.endpoint.id()).collect();
            let before = unchanged.and_then(|before| before.near.as_ref());
            NearPicker::of(balancer, (&full, &current), &near, before, rng)
        });
        Pickers { full, excluded, current, near }
    }

    /// The preference of the gateway's zone: `part` of the requests.
    pub(super) fn near_zone(&self, part: &Arc<NearPart>) -> Option<NearZone> {
        let NearPicker { members, picker, own_indices, keyed } = self.near.as_ref()?;
        let places = own_indices.then(|| members.clone());
        Some(NearZone::new(Arc::clone(picker), places, *keyed, Arc::clone(part)))
    }
}

impl NearPicker {
    /// The picker of the `near` ones among those of `current`; `None` if there are no others, or none
    /// at all.
    fn of(
        balancer: &Balancer,
        (full, current): (&BuiltPicker, &BuiltPicker),
        near: &HashSet<EndpointId>,
        before: Option<&NearPicker>,
        rng: &mut fastrand::Rng,
    ) -> Option<NearPicker> {
        let places = current.set.members().iter().zip(0..);
        let places = places.filter(|(member, _)| near.contains(&member.endpoint.id()));
        let (near, members): (Vec<&Member>, Vec<usize>) = places.unzip();
        if near.is_empty() || near.len() == current.set.len() {
            return None;
        }
        if let Some(before) = before.filter(|before| *before.members == *members) {
            return Some(before.clone());
        }
        let keyed = balancer.factory.key().is_some();
        // The sets are the same where the policy can leave members out.
        let far: Vec<usize> =
            (0..current.set.len()).filter(|it| members.binary_search(it).is_err()).collect();
        if Arc::ptr_eq(&full.set, &current.set)
            && let Some(picker) = full.picker.as_ref()?.without(&far)
        {
            return Some(NearPicker {
                members: members.into(),
                picker: picker.into(),
                own_indices: false,
                keyed,
            });
        }
        let set = Arc::new(EndpointSet::new(near.into_iter().cloned(), balancer.factory.ewma()));
        let picker = balancer.factory.build(set, rng).into();
        Some(NearPicker { members: members.into(), picker, own_indices: true, keyed })
    }
}

/// Weights divided by how many share each, as whole numbers in about the same proportion.
fn shared(weights: &[(u32, u32)]) -> Vec<u32> {
    if weights.iter().all(|(_, shared_by)| *shared_by == 1) {
        return weights.iter().map(|(weight, _)| *weight).collect();
    }
    let part = |(weight, shared_by): &(u32, u32)| match weight {
        0 => 0,
        _ => (u64::from(*weight) * SHARED_UNIT / u64::from((*shared_by).max(1))).max(1),
    };
    let parts: Vec<u64> = weights.iter().map(part).collect();
    let common = parts.iter().copied().filter(|it| *it > 0).fold(0, gcd).max(1);
    parts.iter().map(|it| u32::try_from(it / common).unwrap_or(u32::MAX)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The backend's weight, as if it were neither unhealthy nor ejected nor down.
fn weight_if_available(backend: &Backend, standing: &Standing) -> u32 {
    match standing.state {
        BackendState::Unhealthy | BackendState::Ejected | BackendState::Connecting => {
            backend.intent.weight
        }
        _ => standing.weight,
    }
}

impl BuiltPicker {
    /// A picker for `set`. Reuses `before` if that has the same set: a new picker would lose its state,
    /// such as the position of round robin.
    fn of(
        balancer: &Balancer,
        set: EndpointSet,
        before: Option<&BuiltPicker>,
        rng: &mut fastrand::Rng,
    ) -> BuiltPicker {
        if let Some(before) = before.filter(|before| is_same(&before.set, &set)) {
            return before.clone();
        }
        let set = Arc::new(set);
        let build = || balancer.factory.build(Arc::clone(&set), rng).into();
        let picker = (!set.is_empty()).then(build);
        BuiltPicker { set, picker }
    }

    /// The same picker with these excluded; `None` if the policy has to build a new one.
    fn without(&self, excluded: &[usize]) -> Option<BuiltPicker> {
        let set = Arc::clone(&self.set);
        if excluded.len() == set.len() {
            return Some(BuiltPicker { set, picker: None });
        }
        let picker = self.picker.as_ref()?.without(excluded)?;
        Some(BuiltPicker { set, picker: Some(picker.into()) })
    }
}

fn is_same(one: &EndpointSet, other: &EndpointSet) -> bool {
    let same = |(one, other): (&Member, &Member)| {
        one.endpoint.id() == other.endpoint.id() && one.weight == other.weight
    };
    one.len() == other.len() && one.members().iter().zip(other.members()).all(same)
}

#[cfg(test)]
mod tests {
    use super::super::standing::Condition;
    use super::super::{Balancer, MergedIntent, ServingPeriod};
    use super::*;

    #[test]
    fn addresses_share_the_weight_of_their_name() {
        assert_eq!(shared(&[(3, 1), (0, 1), (1, 1)]), [3, 0, 1]);
        assert_eq!(shared(&[(1, 3), (1, 3), (1, 3), (1, 1)]), [1, 1, 1, 3]);
        assert_eq!(shared(&[(2, 2), (2, 2), (3, 3), (0, 3), (3, 3)]), [1, 1, 1, 0, 1]);
        assert_eq!(shared(&[(1, 4000); 4000])[0], 1);
        let uneven = shared(&[(1, 4000), (1, 1)]);
        assert_eq!(uneven, [1, 2520], "never none");
    }
    use crate::health::Unhealthy;
    use crate::model::{Address, Endpoint};
    use crate::text::ParamValue;

    fn backends() -> Vec<Backend> {
        let endpoint = |address: &str| Arc::new(Endpoint::new(address, 1, Time::ZERO));
        let backend = |address: &str| Backend {
            address: Address::parse(address).unwrap(),
            name: None,
            shared_by: 1,
            registered: None,
            zone: None,
            serving_period: ServingPeriod::new(&endpoint(address), Time::ZERO),
            endpoint: endpoint(address),
            intent: MergedIntent { weight: 1, drained: false, terminating: false },
            ejection: Default::default(),
            condition: Condition::default(),
            down_count: 0,
            arrival: Default::default(),
            ramp: None,
            checked: None,
        };
        ["a:1", "b:1", "c:1"].map(backend).into()
    }

    fn balancer(policy: &str) -> Balancer {
        let key = ParamValue::Map(vec![("header".into(), "x-key".into())]);
        let keyed = policy == "maglev" || policy == "consistent_hash";
        let settings = keyed.then(|| ("key".to_owned(), key)).into_iter().collect();
        Balancer::new(Balancer::policy(policy).unwrap(), settings).unwrap()
    }

    /// The pickers of `backends` while these are excluded, reusing those `before`.
    fn pickers(
        balancer: &Balancer,
        backends: &[Backend],
        excluded: &[usize],
        before: Option<&Pickers>,
    ) -> Pickers {
        let mut backends = backends.to_vec();
        for index in excluded {
            let unhealthy =
                Unhealthy { why: "HTTP 503".into(), since: Time::ZERO, declared: false };
            backends[*index].condition.unhealthy = Some(unhealthy);
        }
        let rng = &mut fastrand::Rng::with_seed(1);
        Pickers::of(balancer, None, &backends, Time::ZERO, before, rng)
    }

    fn same(one: &Option<Arc<dyn Picker>>, other: &Option<Arc<dyn Picker>>) -> bool {
        one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

    #[test]
    fn the_full_picker_is_built_once_across_exclusions() {
        for policy in ["maglev", "consistent_hash", "round_robin", "p2c_ewma"] {
            let (balancer, backends) = (balancer(policy), backends());
            let all = pickers(&balancer, &backends, &[], None);
            let mut last = pickers(&balancer, &backends, &[1], Some(&all));
            assert!(same(&last.full.picker, &all.full.picker), "{policy}");
            let keyed = balancer.factory.key().is_some();
            assert_eq!(last.current.set.len(), if keyed { 3 } else { 2 }, "{policy}");
            let again = pickers(&balancer, &backends, &[1], Some(&last));
            assert!(
                same(&again.current.picker, &last.current.picker),
                "{policy}: nothing has changed"
            );
            for excluded in [&[0, 1][..], &[0, 1, 2], &[2]] {
                last = pickers(&balancer, &backends, excluded, Some(&last));
                assert_eq!(last.current.picker.is_some(), excluded.len() < 3, "{policy}");
            }
            let back = pickers(&balancer, &backends, &[], Some(&last));
            assert!(same(&back.current.picker, &all.current.picker), "{policy}: the same as ever");
        }
    }
}
