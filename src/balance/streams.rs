//! Balancing of streams: least open streams per unit of weight.
//!
//! A stream may stay for days, and with it a bad choice: so all members are compared, or [`MAX_SCANNED`]
//! drawn by weight if there are more. Latencies do not count, as they are measured on calls. Whether a
//! member is excluded altogether is up to the policy.

use super::PickCx;
use super::sampling::Weights;
use crate::model::EndpointSet;

/// Members that are compared for one stream.
const MAX_SCANNED: usize = 16;

/// Picks the member for a new stream: the fewest streams among those not `avoided`, if there are
/// any.
pub(super) fn fewest_streams(
    set: &EndpointSet,
    weights: &Weights,
    cx: &mut PickCx<'_>,
    avoided: impl Fn(usize, &mut PickCx<'_>) -> bool,
) -> usize {
    let first = weights.draw_untried(cx.tried, cx.rng);
    let mut best = (first, avoided(first, cx));
    let few = set.len() <= MAX_SCANNED;
    for scanned in 0..set.len().min(MAX_SCANNED) {
        let other = if few {
            Some(scanned).filter(|index| *index != best.0 && !cx.tried.contains(index))
        } else {
            weights.draw_other_untried(best.0, cx.tried, cx.rng)
        };
        let Some(other) = other else { continue };
        let other = (other, avoided(other, cx));
        let better = match (other.1, best.1) {
            (false, true) => true,
            (true, false) => false,
            _ => has_fewer(set, other.0, best.0),
        };
        if better {
            best = other;
        }
    }
    best.0
}

/// Whether `a` would have fewer streams per unit of weight than `b` with one more each.
fn has_fewer(set: &EndpointSet, a: usize, b: usize) -> bool {
    let with_one_more = |index: usize| {
        let member = &set.members()[index];
        (u64::from(member.endpoint.load().streams().count()) + 1, u64::from(member.weight))
    };
    let ((a_has, a_weighs), (b_has, b_weighs)) = (with_one_more(a), with_one_more(b));
    a_has * b_weighs < b_has * a_weighs
}
