//! Which series are shown by name when there are more than a metric may have.
//!
//! Label sets are counted in the largest family, the requests by code, and the same backends are
//! named in all, so that families can be joined. The places go to the busiest. A service comes
//! before its backends, as it has at least their traffic; its first place is for the set in which
//! those of its backends that have no place are added up.
//!
//! What has once been shown with traffic keeps its place for as long as it is there: a counter
//! that comes and goes, or a sum that takes it in and lets it go, looks to Prometheus like a
//! burst of requests. So the places are given, not lent; what has no traffic has none to lose.

use std::cmp::Reverse;

/// Somebody who wants to be shown by name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claim {
    /// It was shown before, and had traffic.
    pub(super) held: bool,
    /// Requests since the start.
    pub(super) traffic: u64,
    /// Label sets that it needs; a service, for the sum of those without a place.
    pub(super) sets: usize,
}

/// What one service and its backends want.
#[derive(Debug, Default)]
pub(super) struct Claims {
    pub(super) service: Claim,
    pub(super) backends: Vec<Claim>,
}

/// Who of a service is shown by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) service: bool,
    pub(super) backends: Vec<bool>,
}

/// Gives away `budget` label sets, of which `rest` are wanted for what belongs to no service that
/// has a place, and says how many are left.
pub(super) fn allot(claims: &[Claims], rest: usize, budget: usize) -> (Vec<Named>, usize) {
    let all: usize = claims.iter().flat_map(|claims| &claims.backends).map(|b| b.sets).sum();
    let plain = claims.len().max(all);
    if plain <= budget {
        let everybody =
            |claims: &Claims| Named { service: true, backends: vec![true; claims.backends.len()] };
        return (claims.iter().map(everybody).collect(), budget - plain);
    }
    let nobody =
        |claims: &Claims| Named { service: false, backends: vec![false; claims.backends.len()] };
    let mut named: Vec<Named> = claims.iter().map(nobody).collect();
    let mut left = budget.saturating_sub(rest);
    for (claim, service, backend) in in_order(claims) {
        let Some(names) = named.get_mut(service) else { continue };
        let has_place = match backend {
            None => names.service,
            Some(backend) => names.backends.get(backend) == Some(&true),
        };
        let may = backend.is_none() || names.service;
        if has_place || !may || !(claim.held || claim.sets <= left) {
            continue;
        }
        left = left.saturating_sub(claim.sets);
        match backend.and_then(|backend| names.backends.get_mut(backend)) {
            Some(backend) => *backend = true,
            None => names.service = true,
        }
        // The last one alone would make a sum of one: it gets the place of the sum.
        if names.backends.iter().filter(|named| !**named).count() == 1 {
            names.backends.fill(true);
        }
    }
    (named, left)
}

/// All claims, with whose they are: first the held ones, then the busiest.
fn in_order(claims: &[Claims]) -> Vec<(Claim, usize, Option<usize>)> {
    let mut order = Vec::new();
    for (service, claims) in claims.iter().enumerate() {
        order.push((claims.service, service, None));
        let backends = claims.backends.iter().enumerate();
        order.extend(backends.map(|(backend, claim)| (*claim, service, Some(backend))));
    }
    order.sort_by_key(|(claim, _, backend)| {
        (!claim.held, Reverse(claim.traffic), backend.is_some())
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service with these backends, each with one label set.
    fn service(traffic: &[u64]) -> Claims {
        let claim = |traffic| Claim { held: false, traffic, sets: 1 };
        Claims {
            service: claim(traffic.iter().sum()),
            backends: traffic.iter().copied().map(claim).collect(),
        }
    }

    fn names(claims: &[Claims], budget: usize) -> Vec<Vec<usize>> {
        let (named, _) = allot(claims, 1, budget);
        let of = |named: &Named| {
            assert!(named.service || !named.backends.contains(&true));
            (0..named.backends.len()).filter(|i| named.backends[*i]).collect()
        };
        named.iter().map(of).collect()
    }

    /// The label sets that this makes, those of the sums included.
    fn shown(named: &[Named]) -> usize {
        let of = |named: &Named| {
            let by_name = named.backends.iter().filter(|named| **named).count();
            by_name + usize::from(named.service && by_name < named.backends.len())
        };
        named.iter().map(of).sum::<usize>() + usize::from(named.iter().any(|named| !named.service))
    }

    #[test]
    fn all_have_names_while_they_fit() {
        assert_eq!(names(&[service(&[0, 5]), service(&[1])], 3), [vec![0, 1], vec![0]]);
    }

    #[test]
    fn the_busiest_have_names_and_the_idle_have_not() {
        let one = [service(&[0, 9, 3, 0, 7, 1])];
        assert_eq!(names(&one, 5), [vec![1, 2, 4]]);
        assert_eq!(names(&one, 3), [vec![1]]);
        let two = [service(&[1, 1, 1]), service(&[50, 40, 0])];
        assert_eq!(names(&two, 5), [vec![], vec![0, 1, 2]]);
    }

    #[test]
    fn one_alone_is_not_summed_up() {
        assert_eq!(names(&[service(&[3, 2, 1]), service(&[0, 0])], 4), [vec![0, 1, 2], vec![]]);
        let single: Vec<_> = (0..10).map(|traffic| service(&[traffic])).collect();
        let (named, _) = allot(&single, 1, 5);
        assert_eq!(named.iter().filter(|named| named.backends == [true]).count(), 4);
    }

    #[test]
    fn what_is_held_stays_however_busy_others_become() {
        let mut claims = [service(&[1, 2, 3, 4, 5])];
        claims[0].service.held = true;
        claims[0].backends[0].held = true;
        assert_eq!(names(&claims, 3), [vec![0]]);
        assert_eq!(names(&claims, 4), [vec![0, 4]]);
        assert_eq!(names(&claims, 1), [vec![0]]);
    }

    #[test]
    fn the_budget_holds_for_any_shape() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..2000 {
            let services = rng.usize(1..40);
            let claims: Vec<_> = (0..services)
                .map(|_| {
                    let traffic: Vec<u64> = (0..rng.usize(0..20)).map(|_| rng.u64(0..9)).collect();
                    service(&traffic)
                })
                .collect();
            let budget = rng.usize(2..100);
            let (named, left) = allot(&claims, 1, budget);
            let shown = shown(&named);
            assert!(shown <= budget, "{shown} of {budget}");
            assert!(left <= budget);
        }
    }
}
