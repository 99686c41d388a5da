//! Explains to operators why each backend gets its share of calls.

use std::collections::HashMap;

use super::standing::{BackendState, Standing, starting};
use super::{BackendView, ServiceView, Snapshot};
use crate::balance::{Cost, expected_shares};
pub use crate::balance::{CostTerm, Unit};

/// One backend's share, and the reasons for it.
#[derive(Clone, Debug)]
pub struct BackendExplanation {
    /// The backend.
    pub address: String,
    /// Its configured weight.
    pub weight: u32,
    /// Its weight, state and reason now.
    pub standing: Standing,
    /// Its share by weight alone, of the backends that take requests.
    pub weight_share: f64,
    /// Its expected share of the next calls, as things are now.
    pub expected_share: f64,
    /// Its share of the requests of the last 30 s, if there were any.
    pub recent_share: Option<f64>,
    /// What the policy compares.
    pub terms: Vec<CostTerm>,
    /// Why it gets this share, in words.
    pub why: String,
}

/// Explains the share of each backend of `view`, by the picker of `snapshot`.
pub fn explain(
    view: &ServiceView,
    snapshot: &Snapshot,
    rng: &mut fastrand::Rng,
) -> Vec<BackendExplanation> {
    let now = view.now();
    let (shares, costs) = match &snapshot.picker {
        Some(picker) => {
            let (ramps, near) = (&snapshot.ramps, snapshot.near.as_ref());
            let members = snapshot.set.len();
            (expected_shares(&**picker, ramps, near, members, now, rng), picker.costs(now))
        }
        None => Default::default(),
    };
    let costs = costs.into_iter().map(Some).chain(std::iter::repeat(None));
    let ids = snapshot.set.members().iter().map(|member| member.endpoint.id());
    let mut picked: HashMap<_, (f64, Option<Cost>)> =
        ids.zip(shares.into_iter().zip(costs)).collect();

    let total: u64 = view.backends.iter().map(|it| u64::from(it.standing(now).weight)).sum();
    let requests: u64 = view.backends.iter().map(|it| it.recent.requests).sum();
    let one = |backend: &BackendView| {
        let standing = backend.standing(now);
        let (share, cost) = picked.remove(&backend.endpoint.id()).unwrap_or_default();
        let Cost { terms, why } = cost.unwrap_or_default();
        BackendExplanation {
            address: backend.endpoint.address().into(),
            weight: backend.intent.weight,
            weight_share: f64::from(standing.weight) / total.max(1) as f64,
            expected_share: share,
            recent_share: (requests > 0).then(|| backend.recent.requests as f64 / requests as f64),
            terms,
            why: restriction(backend.intent.weight, &standing, backend.condition.is_on_trial())
                .or_else(|| zone_of(backend, view))
                .or(why)
                .unwrap_or_else(|| "as its weight says".into()),
            standing,
        }
    };
    view.backends.iter().map(one).collect()
}

/// What the preference of the gateway's zone means for a backend.
fn zone_of(backend: &BackendView, view: &ServiceView) -> Option<String> {
    let (zone, part) = (view.spec.prefer_zone.as_deref()?, view.near_part?);
    let percent = (part * 100.0).floor();
    Some(match backend.zone.as_deref() {
        Some(own) if own == zone => {
            format!("in zone {zone}, the gateway's, where {percent:.0} % of the requests stay")
        }
        Some(other) => format!("in zone {other}: {percent:.0} % of the requests stay in {zone}"),
        None => format!("in no zone: {percent:.0} % of the requests stay in {zone}"),
    })
}

/// Why a backend of this configured weight gets no calls, or only some, whatever its cost.
fn restriction(weight: u32, standing: &Standing, on_trial: bool) -> Option<String> {
    let reason = standing.reason.name();
    let state = match standing.state {
        BackendState::Unhealthy => format!("unhealthy: {reason}"),
        BackendState::Ejected => format!("ejected: {reason}"),
        BackendState::Draining => format!("draining: {reason}"),
        _ if weight == 0 => "weight 0".into(),
        _ if standing.weight == 0 => format!("no connection: {reason}"),
        _ => return standing.ramp.map(starting),
    };
    Some(match standing.weight {
        0 => state,
        _ if on_trial => format!("{state}: one call at a time"),
        _ => format!("{state}; gets calls all the same, as too few backends are left"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::standing::Reason;
    use super::*;
    use crate::model::Time;

    #[test]
    fn a_backend_out_of_rotation_is_so_for_a_reason() {
        use BackendState::{Connecting, Draining, Ejected, Ready, Unhealthy};
        let told = |why: &str| Reason::Text(why.into());
        let needed = "unhealthy: HTTP 503; gets calls all the same, as too few backends are left";
        let cases = [
            (Ready, Reason::Connected, 1, 1, false, None),
            (Ready, Reason::Connected, 9, 9, false, Some("starting: 50 % of its share")),
            (Ready, Reason::Connected, 0, 0, false, Some("weight 0")),
            (Draining, Reason::Drained, 1, 0, false, Some("draining: drained")),
            (
                Connecting,
                told("connection lost"),
                1,
                0,
                false,
                Some("no connection: connection lost"),
            ),
            (Unhealthy, told("HTTP 503"), 1, 0, false, Some("unhealthy: HTTP 503")),
            (Unhealthy, told("HTTP 503"), 1, 1, false, Some(needed)),
            (Ejected, told("on trial"), 1, 1, true, Some("ejected: on trial: one call at a time")),
        ];
        for (state, reason, intended, weight, on_trial, expected) in cases {
            let ramp = (intended == 9).then_some(0.5);
            let standing = Standing { weight, state, reason, since: Time::ZERO, until: None, ramp };
            assert_eq!(restriction(intended, &standing, on_trial).as_deref(), expected);
        }
    }
}
