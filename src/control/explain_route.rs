//! ExplainRoute: which route a request would take.

use std::time::Duration;

use tonic::Status;

use super::proto;
use crate::route::RouteTable;
use crate::route::{Filters, Forward, Mirror, Policies, Route, RouteQuery, Share, Verdict};

/// Maximum number of near misses in a response.
const MAX_NEAR: usize = 10;
/// Maximum number of header fields of the request in question.
const MAX_FIELDS: usize = 100;

/// Explains which of `routes` a request takes.
pub(super) fn explain(
    routes: &RouteTable,
    asked: proto::ExplainRouteRequest,
) -> Result<proto::ExplainRouteResponse, Status> {
    let proto::ExplainRouteRequest { host, path, method, headers, grpc } = asked;
    let default = |text: String, other: &str| if text.is_empty() { other.into() } else { text };
    let path = default(path, "/");
    let method = default(method, if grpc { "POST" } else { "GET" });
    if !path.starts_with('/') && path != "*" {
        let message = format!("`{path:.100}` is not a path: start it with `/`");
        return Err(Status::invalid_argument(message));
    }
    if headers.len() > MAX_FIELDS {
        let message = format!("more than {MAX_FIELDS} header fields");
        return Err(Status::invalid_argument(message));
    }
    let fields = headers.into_iter().map(|field| (field.name.to_ascii_lowercase(), field.value));
    let fields: Vec<(String, String)> = fields.collect();
    let explanation = routes.explain(
        &RouteQuery {
            authority: host.as_bytes(),
            path: path.as_bytes(),
            method: method.as_bytes(),
            grpc,
            fields: &fields,
        },
        MAX_NEAR,
    );
    let near = explanation
        .near
        .iter()
        .map(|near| proto::NearMiss { route: Some(route(near)), reason: near.tell(near.why) });
    Ok(proto::ExplainRouteResponse {
        route: explanation.taken.as_ref().map(route),
        near_misses: near.collect(),
    })
}

fn route(verdict: &Verdict<'_>) -> proto::Route {
    let mut route = proto::Route {
        name: verdict.name.into(),
        number: verdict.number.saturating_add(1),
        line: verdict.place.line,
        column: verdict.place.column,
        r#match: verdict.tell(verdict.matched),
        ..proto::Route::default()
    };
    match verdict.route {
        Route::Redirect(redirect) => route.redirect = verdict.tell(redirect),
        Route::Forward(Forward { split, split_by, mirror, policies }) => {
            let seconds = |time: Duration| time.as_secs_f64();
            route.timeout_seconds = policies.timeout.map(seconds);
            route.max_timeout_seconds = policies.max_timeout.map(seconds);
            route.retry = in_words(policies.retry.as_ref());
            route.hedge = in_words(policies.hedge.as_ref());
            let allowed = policies.allowed_clients.iter();
            route.allowed_clients = allowed.map(|one| verdict.tell(one)).collect();
            let target = |share| target(verdict, share, policies);
            route.targets = split.shares().iter().map(target).collect();
            route.split_by = split_by.as_deref().unwrap_or_default().into();
            route.mirror = mirror.as_ref().map(|Mirror { name, per_million, .. }| proto::Mirror {
                service: name.as_ref().into(),
                percent: f64::from(*per_million) / 10_000.0,
            });
        }
    }
    route
}

/// A policy in words; empty if there is none.
pub(super) fn in_words(policy: Option<&impl ToString>) -> String {
    policy.map(ToString::to_string).unwrap_or_default()
}

fn target(verdict: &Verdict<'_>, share: &Share, policies: &Policies) -> proto::RouteTarget {
    let filters = share.filters.as_deref().or(policies.filters.as_ref());
    let filters = filters.map(Filters::in_words).unwrap_or_default();
    proto::RouteTarget {
        service: share.name.as_ref().into(),
        weight: share.weight,
        filters: filters.into_iter().map(|words| verdict.tell(words)).collect(),
    }
}
