//! Cardinality limit: which services, backends and methods get their own series when there are more
//! than the budget allows.
//!
//! The budget counts series of all metrics together and goes to the busiest. A service ranks before
//! its members, as it has at least their traffic; its cost includes its own series and the
//! aggregate (`other`) of its members that are folded.
//!
//! What has once been exported with traffic keeps its series while it exists: a counter that comes
//! and goes, or moves into and out of an aggregate, looks to Prometheus like a burst of requests.
//! What has had no traffic may lose them.

use std::cmp::Reverse;

/// A service, backend or method that competes for series of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claim {
    /// It has been exported with traffic, so it keeps its series.
    pub(super) held: bool,
    /// Requests since the start.
    pub(super) traffic: u64,
    /// How many series it costs.
    pub(super) series: usize,
}

/// The claims of one service and its members.
#[derive(Debug, Default)]
pub(super) struct Claims {
    pub(super) service: Claim,
    /// Series of the aggregate of its folded members; at least as many as any one member has.
    pub(super) sum: usize,
    /// Its backends, then its methods.
    pub(super) members: Vec<Claim>,
    /// How many of the members are backends; they have an aggregate of their own.
    pub(super) backends: usize,
}

/// Which members of a service get their own series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::telemetry) struct Allotment {
    pub(in crate::telemetry) service: bool,
    pub(super) members: Vec<bool>,
}

impl Allotment {
    fn all(is: bool, claims: &Claims) -> Allotment {
        Allotment { service: is, members: vec![is; claims.members.len()] }
    }
}

/// Gives everything its own series if `budget` is enough for that; also returns what is left of it.
pub(super) fn allot_all(claims: &[Claims], budget: usize) -> Option<(Vec<Allotment>, usize)> {
    let members = claims.iter().flat_map(|claims| &claims.members);
    let all = claims.iter().map(|claims| &claims.service).chain(members);
    let left = budget.checked_sub(all.map(|claim| claim.series).sum())?;
    Some((claims.iter().map(|claims| Allotment::all(true, claims)).collect(), left))
}

/// Distributes `budget` series, `rest` of them reserved for the aggregate of all folded services;
/// also returns what is left.
pub(super) fn allot(claims: &[Claims], rest: usize, budget: usize) -> (Vec<Allotment>, usize) {
    let mut named: Vec<Allotment> =
        claims.iter().map(|claims| Allotment::all(false, claims)).collect();
    let mut left = budget.saturating_sub(rest);
    for (claim, service, member) in in_order(claims) {
        let Some(names) = named.get_mut(service) else { continue };
        let has_place = match member {
            None => names.service,
            Some(member) => names.members.get(member) == Some(&true),
        };
        let may = member.is_none() || names.service;
        if has_place || !may || !(claim.held || claim.series <= left) {
            continue;
        }
        left = left.saturating_sub(claim.series);
        match member.and_then(|member| names.members.get_mut(member)) {
            Some(member) => *member = true,
            None => names.service = true,
        }
        // An aggregate of a single backend saves nothing: that backend gets its series instead.
        let backends = claims.get(service).map_or(0, |claims| claims.backends);
        if let Some(backends) = names.members.get_mut(..backends)
            && backends.iter().filter(|named| !**named).count() == 1
        {
            backends.fill(true);
        }
    }
    (named, left)
}

/// All claims with service and member index: first those that keep their series, then the busiest.
fn in_order(claims: &[Claims]) -> Vec<(Claim, usize, Option<usize>)> {
    let mut order = Vec::new();
    for (number, claims) in claims.iter().enumerate() {
        let service = Claim { series: claims.service.series + claims.sum, ..claims.service };
        order.push((service, number, None));
        let members = claims.members.iter().enumerate();
        order.extend(members.map(|(member, claim)| (*claim, number, Some(member))));
    }
    order.sort_by_key(|(claim, _, member)| (!claim.held, Reverse(claim.traffic), member.is_some()));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service whose members have one series each, and which has none itself.
    fn service(traffic: &[u64]) -> Claims {
        let claim = |series, traffic| Claim { held: false, traffic, series };
        Claims {
            service: claim(0, traffic.iter().sum()),
            sum: 1,
            members: traffic.iter().map(|traffic| claim(1, *traffic)).collect(),
            backends: traffic.len(),
        }
    }

    fn named(claims: &[Claims], budget: usize) -> (Vec<Allotment>, usize) {
        allot_all(claims, budget).unwrap_or_else(|| allot(claims, 1, budget))
    }

    fn names(claims: &[Claims], budget: usize) -> Vec<Vec<usize>> {
        let (named, _) = named(claims, budget);
        let of = |named: &Allotment| {
            assert!(named.service || !named.members.contains(&true));
            (0..named.members.len()).filter(|i| named.members[*i]).collect()
        };
        named.iter().map(of).collect()
    }

    /// The series that this allotment yields, aggregates included.
    fn shown(named: &[Allotment]) -> usize {
        let of = |named: &Allotment| {
            let by_name = named.members.iter().filter(|named| **named).count();
            by_name + usize::from(named.service && by_name < named.members.len())
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
        let (named, _) = named(&single, 5);
        assert_eq!(named.iter().filter(|named| named.members == [true]).count(), 4);
    }

    #[test]
    fn exported_series_are_kept_however_busy_others_become() {
        let mut claims = [service(&[1, 2, 3, 4, 5])];
        claims[0].service.held = true;
        claims[0].members[0].held = true;
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
            let (named, left) = named(&claims, budget);
            let shown = shown(&named);
            assert!(shown <= budget, "{shown} of {budget}");
            assert!(left <= budget);
        }
    }
}
