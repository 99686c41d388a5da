//! Explanations of a picker's choices, for operators: the cost terms of each member at one moment,
//! and the share of the next calls that it can expect. Cold path.

use super::{Accounts, NearZone, PickCx, Picker, Ramps};
use crate::model::{EndpointSet, ExchangeClass, Time};

/// Sampled picks, at least; a share of one half is then known within 1 % (two standard deviations).
const PICKS: usize = 10_000;
/// Sampled picks for each member of a larger set.
const PICKS_PER_MEMBER: usize = 20;

/// Unit of a cost term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of calls.
    Calls,
    /// Messages per second.
    MessagesPerSecond,
    /// Seconds.
    Seconds,
}

/// One term of a member's cost.
#[derive(Clone, Debug, PartialEq)]
pub struct CostTerm {
    /// The name, in snake case.
    pub name: &'static str,
    /// The value at this moment.
    pub value: f64,
    /// What the value is measured in.
    pub unit: Unit,
}

/// A member's cost at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// What the policy compares; empty if it decides by weight or key alone.
    pub terms: Vec<CostTerm>,
    /// Why its share differs from its weight; `None` if it need not.
    pub why: Option<String>,
}

/// Estimates the share of the next calls of each member, by sampling picks with random keys.
pub fn expected_shares(
    picker: &dyn Picker,
    ramps: &Ramps,
    near: Option<&NearZone>,
    members: usize,
    now: Time,
    rng: &mut fastrand::Rng,
) -> Vec<f64> {
    let picks = PICKS.max(members.saturating_mul(PICKS_PER_MEMBER));
    let mut counts = vec![0u32; members];
    let (accounts, mut avoided, mut tried) = (Accounts::new(ramps, rng), Vec::new(), Vec::new());
    let preview = |picker: &dyn Picker, cx: &mut PickCx<'_>| picker.preview(cx);
    for _ in 0..picks {
        let key = rng.u64(..).to_le_bytes();
        let class = ExchangeClass::Call;
        let mut cx = PickCx { key: Some(&key), class, tried: &[], rng, now };
        let picked = ramps.pick(&accounts, &mut avoided, &mut cx, |cx| match near {
            None => preview(picker, cx),
            Some(near) => near.pick(picker, &mut tried, cx, preview),
        });
        if let Some(count) = counts.get_mut(picked) {
            *count += 1;
        }
    }
    counts.iter().map(|count| f64::from(*count) / picks as f64).collect()
}

/// The lower median of `values`: of two, the better one. 0 if there are none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let middle = last / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The calls in flight of each member, and the set's calls per unit of weight.
pub(super) fn in_flight(set: &EndpointSet) -> (Vec<f64>, f64) {
    let calls: Vec<f64> =
        set.members().iter().map(|member| f64::from(member.endpoint.load().calls())).collect();
    let weights: f64 = set.members().iter().map(|member| f64::from(member.weight)).sum();
    let per_weight = calls.iter().sum::<f64>() / weights.max(1.0);
    (calls, per_weight)
}

/// The term that all load-aware policies have.
pub(super) fn calls_in_flight(calls: f64) -> CostTerm {
    CostTerm { name: "in_flight", value: calls, unit: Unit::Calls }
}

/// Why a member gets fewer or more calls than its weight says, if it clearly has more or fewer in
/// flight than `expected`, its share of the total.
pub(super) fn backlog(calls: f64, expected: f64) -> Option<String> {
    // The excess that `backlog` considers significant, for a Poisson distribution.
    let clear = (calls - expected).powi(2) > 3.0 * (calls + expected);
    let relation = if calls > expected { "more" } else { "fewer" };
    clear.then(|| {
        format!("{calls:.0} calls in flight, {relation} than its share of all ({expected:.1})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0]), 3.0);
        assert_eq!(median(vec![9.0, 1.0]), 1.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn a_backlog_is_one_that_is_no_chance() {
        assert_eq!(backlog(0.0, 0.0), None);
        assert_eq!(backlog(3.0, 1.0), None);
        let more = backlog(30.0, 10.0).unwrap();
        assert_eq!(more, "30 calls in flight, more than its share of all (10.0)");
        assert!(backlog(0.0, 10.0).unwrap().contains("fewer"));
    }
}
