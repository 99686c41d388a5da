//! ExplainService: explains each backend's share of calls.

use super::explain_route::in_words;
use super::policy::settings_of;
use super::{convert, proto};
use crate::route::{Forward, Route, RouteTable};
use crate::service::{BackendExplanation, CostTerm, Service, Unit};

/// Explains the shares of the backends of `service`. Slow: it samples thousands of picks.
pub(super) fn explain(service: &Service) -> proto::ExplainServiceResponse {
    let (view, snapshot) = (service.view(), service.snapshot().load_full());
    // A fixed seed is random enough for estimates.
    let rng = &mut fastrand::Rng::with_seed(view.generation);
    let backends = crate::service::explain(&view, &snapshot, rng);
    proto::ExplainServiceResponse {
        service: view.spec.name.clone(),
        policy: view.spec.balancer.policy.into(),
        policy_settings: Some(settings_of(&view.spec.balancer)),
        revision: view.revision,
        backends: backends.into_iter().map(backend).collect(),
        retries: Vec::new(),
        retry_budget_left: service.retry_budget().left(view.spec.retry_budget, view.now()),
    }
}

/// The routes to `service` that retry or hedge.
pub(super) fn retries(routes: &RouteTable, service: &str) -> Vec<proto::RouteRetries> {
    let mut all = Vec::new();
    for (name, route, _) in routes.iter() {
        let Route::Forward(Forward { split, policies, .. }) = route else { continue };
        let leads_here = split.shares().iter().any(|share| &*share.name == service);
        if leads_here && policies.repeat() {
            let retry = in_words(policies.retry.as_ref());
            let hedge = in_words(policies.hedge.as_ref());
            all.push(proto::RouteRetries { route: name.into(), retry, hedge });
        }
    }
    all
}

fn backend(explained: BackendExplanation) -> proto::BackendExplanation {
    proto::BackendExplanation {
        state: convert::state(explained.standing.state).into(),
        state_reason: explained.standing.reason.name().into(),
        effective_weight: explained.standing.weight,
        ramp: explained.standing.ramp,
        address: explained.address,
        weight: explained.weight,
        weight_share: explained.weight_share,
        expected_share: explained.expected_share,
        recent_share: explained.recent_share,
        terms: explained.terms.into_iter().map(term).collect(),
        why: explained.why,
    }
}

fn term(CostTerm { name, value, unit }: CostTerm) -> proto::CostTerm {
    let unit = match unit {
        Unit::Calls => "calls",
        Unit::MessagesPerSecond => "messages/s",
        Unit::Seconds => "s",
    };
    proto::CostTerm { name: name.into(), value, unit: unit.into() }
}
