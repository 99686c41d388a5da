//! Whom requests go to, and how they are chosen among.

use std::sync::Arc;

use super::Balancer;
use super::desired::Backend;
use super::standing::{BackendState, Standing};
use crate::balance::Picker;
use crate::model::{EndpointSet, Member, Time};

/// A picker, and the set that it was built from.
#[derive(Clone)]
pub(super) struct Picking {
    /// The endpoints that it speaks of: those that may take a request and, where members have places
    /// that they find again, those that are out.
    pub set: Arc<EndpointSet>,
    /// Nothing, if none of them may.
    pub picker: Option<Arc<dyn Picker>>,
}

/// What a service picks by.
pub(super) struct Pickings {
    /// If nobody were out. What is dear to build is built here.
    whole: Picking,
    /// Of those, who is.
    out: Vec<usize>,
    /// As it is.
    pub now: Picking,
}

impl Pickings {
    /// Those of `backends` by `balancer`. It may take long: pickers are built, unless those `before`,
    /// with the same balancer, fit.
    pub(super) fn of(
        balancer: &Balancer,
        backends: &[Backend],
        now: Time,
        before: Option<&Pickings>,
        rng: &mut fastrand::Rng,
    ) -> Pickings {
        let all: Vec<(&Backend, Standing)> =
            backends.iter().map(|backend| (backend, backend.standing(now))).collect();
        let set = |weight: fn(&Backend, &Standing) -> u32| {
            let member = |(backend, standing): &(&Backend, Standing)| {
                let (endpoint, weight) = (Arc::clone(&backend.endpoint), weight(backend, standing));
                Member { endpoint, weight }
            };
            EndpointSet::new(all.iter().map(member), balancer.factory.ewma())
        };
        let whole = set(weight_if_well);
        let well = all.iter().filter(|(backend, standing)| weight_if_well(backend, standing) > 0);
        let out = well.enumerate().filter(|(_, (_, standing))| standing.weight == 0);
        let out: Vec<usize> = out.map(|(index, _)| index).collect();
        let whole = Picking::of(balancer, whole, before.map(|before| &before.whole), rng);
        let as_before = before.filter(|it| it.out == out && Arc::ptr_eq(&it.whole.set, &whole.set));
        let now = match (as_before, &*out) {
            (Some(before), _) => before.now.clone(),
            (None, []) => whole.clone(),
            (None, some) => match whole.without(some) {
                Some(less) => less,
                None => Picking::of(balancer, set(|_, standing| standing.weight), None, rng),
            },
        };
        Pickings { whole, out, now }
    }
}

/// The weight that a backend has, or would have if it were not out.
fn weight_if_well(backend: &Backend, standing: &Standing) -> u32 {
    match standing.state {
        BackendState::Unhealthy | BackendState::Ejected | BackendState::Connecting => {
            backend.intent.weight
        }
        _ => standing.weight,
    }
}

impl Picking {
    /// For `set`; that of `before`, if it is for the same: where one begins anew, those who take turns
    /// would start from the first again.
    fn of(
        balancer: &Balancer,
        set: EndpointSet,
        before: Option<&Picking>,
        rng: &mut fastrand::Rng,
    ) -> Picking {
        if let Some(before) = before.filter(|before| is_same(&before.set, &set)) {
            return before.clone();
        }
        let set = Arc::new(set);
        let build = || balancer.factory.build(Arc::clone(&set), rng).into();
        let picker = (!set.is_empty()).then(build);
        Picking { set, picker }
    }

    /// The same while these get nothing, where they keep their places.
    fn without(&self, out: &[usize]) -> Option<Picking> {
        let set = Arc::clone(&self.set);
        if out.len() == set.len() {
            return Some(Picking { set, picker: None });
        }
        let picker = self.picker.as_ref()?.without(out)?;
        Some(Picking { set, picker: Some(picker.into()) })
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
    use super::super::{Balancer, MergedIntent, Turn};
    use super::*;
    use crate::health::Unhealthy;
    use crate::model::{Address, Endpoint};
    use crate::text::ParamValue;

    fn backends() -> Vec<Backend> {
        let endpoint = |address: &str| Arc::new(Endpoint::new(address, 1, Time::ZERO));
        let backend = |address: &str| Backend {
            address: Address::parse(address).unwrap(),
            turn: Turn::new(&endpoint(address), Time::ZERO),
            endpoint: endpoint(address),
            intent: MergedIntent { weight: 1, drained: false },
            ejection: Default::default(),
            condition: Condition::default(),
            falls: 0,
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

    /// Those of `backends` when these are out, after those `before`.
    fn pickings(
        balancer: &Balancer,
        backends: &[Backend],
        out: &[usize],
        before: Option<&Pickings>,
    ) -> Pickings {
        let mut backends = backends.to_vec();
        for index in out {
            let unhealthy =
                Unhealthy { why: "HTTP 503".into(), since: Time::ZERO, declared: false };
            backends[*index].condition.unhealthy = Some(unhealthy);
        }
        let rng = &mut fastrand::Rng::with_seed(1);
        Pickings::of(balancer, &backends, Time::ZERO, before, rng)
    }

    fn same(one: &Option<Arc<dyn Picker>>, other: &Option<Arc<dyn Picker>>) -> bool {
        one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

    #[test]
    fn what_is_dear_is_built_once_however_often_somebody_is_out() {
        for policy in ["maglev", "consistent_hash", "round_robin", "p2c_ewma"] {
            let (balancer, backends) = (balancer(policy), backends());
            let all = pickings(&balancer, &backends, &[], None);
            let mut last = pickings(&balancer, &backends, &[1], Some(&all));
            assert!(same(&last.whole.picker, &all.whole.picker), "{policy}");
            let keyed = balancer.factory.key().is_some();
            assert_eq!(last.now.set.len(), if keyed { 3 } else { 2 }, "{policy}");
            let again = pickings(&balancer, &backends, &[1], Some(&last));
            assert!(same(&again.now.picker, &last.now.picker), "{policy}: nothing has changed");
            for out in [&[0, 1][..], &[0, 1, 2], &[2]] {
                last = pickings(&balancer, &backends, out, Some(&last));
                assert_eq!(last.now.picker.is_some(), out.len() < 3, "{policy}");
            }
            let back = pickings(&balancer, &backends, &[], Some(&last));
            assert!(same(&back.now.picker, &all.now.picker), "{policy}: the same as ever");
        }
    }
}
