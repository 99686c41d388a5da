//! Conversion between service types and API messages.

use std::collections::BTreeMap;

use tonic::Status;

use super::overridden::overridden;
use super::policy::settings_of;
use super::{audit, changes, proto};
use crate::discovery::Discovered;
use crate::model::{RejectReason, RejectTotals, Time};
use crate::service::{
    BackendState, BackendView, ChangeError, EndpointSpec, OutcomesSince, Rejections, ServiceView,
    Standing,
};

pub(super) fn summary(view: &ServiceView) -> proto::ServiceSummary {
    let now = view.now();
    let standings: Vec<Standing> = view.backends.iter().map(|it| it.standing(now)).collect();
    let count = |wanted: fn(&Standing) -> bool| {
        u32::try_from(standings.iter().filter(|it| wanted(it)).count()).unwrap_or(u32::MAX)
    };
    proto::ServiceSummary {
        name: view.spec.name.clone(),
        policy: view.spec.balancer.policy.into(),
        revision: view.revision,
        generation: view.generation,
        backends: count(|_| true),
        eligible_backends: count(|standing| standing.weight > 0),
        draining_backends: count(|standing| standing.state == BackendState::Draining),
        overrides: u32::try_from(view.overrides.len()).unwrap_or(u32::MAX),
        policy_settings: Some(settings_of(&view.spec.balancer)),
        recent_requests: view.recent.requests,
        recent_rejected: view.recent.rejected,
        success_ratio: view.recent.success_ratio,
    }
}

/// The service, with statistics since `revision`, or by default since the last change.
pub(super) fn service(view: &ServiceView, revision: Option<u64>) -> Result<proto::Service, Status> {
    let revision = revision.unwrap_or(view.revision);
    let retained = view.retained_revisions();
    if !retained.contains(&revision) {
        let (name, first, last) = (&view.spec.name, retained.start(), retained.end());
        return Err(Status::out_of_range(format!(
            "service `{name}` has no counts since revision {revision}: they are kept since \
             revisions {first} to {last}, of which the last is the current one"
        )));
    }
    let since = |b: &BackendView| view.since(revision, b).map(|counted| since(revision, counted));
    let now = view.now();
    let backend = |b: &BackendView, standing: Standing| proto::Backend {
        address: b.endpoint.address().into(),
        resolved_address: b.endpoint.resolved().unwrap_or_default().into(),
        weight: b.intent.weight,
        effective_weight: standing.weight,
        state: state(standing.state).into(),
        state_reason: standing.reason.name().into(),
        state_left_seconds: standing.until.map(|until| until.since(now).as_secs_f64()),
        state_seconds: Some(now.since(standing.since).as_secs_f64()),
        ramp: standing.ramp,
        zone: b.zone.as_deref().unwrap_or_default().into(),
        instance: registered(b).and_then(|it| it.instance.as_deref()).unwrap_or_default().into(),
        metadata: registered(b).map(metadata_of).unwrap_or_default(),
        in_flight: b.endpoint.load().calls(),
        ewma_seconds: view.ewma_seconds(b),
        requests: b.endpoint.requests(),
        recent_requests: b.recent.requests,
        success_ratio: b.recent.success_ratio,
        p50_seconds: b.recent.p50,
        p90_seconds: b.recent.p90,
        p99_seconds: b.recent.p99,
        p999_seconds: b.recent.p999,
        open_streams: b.endpoint.load().streams().count(),
        mean_stream_age_seconds: age(b, now),
        streams_opened_per_second: b.recent.streams_opened,
        streams_ended_per_second: b.recent.streams_ended,
        stream_messages_per_second: b.recent.stream_messages,
        streams_opened: b.endpoint.streams().opened,
        since: since(b),
    };
    Ok(proto::Service {
        name: view.spec.name.clone(),
        policy: view.spec.balancer.policy.into(),
        revision: view.revision,
        generation: view.generation,
        backends: view.backends.iter().map(|b| backend(b, b.standing(now))).collect(),
        overrides: view.overrides.iter().map(overridden).collect(),
        policy_settings: Some(settings_of(&view.spec.balancer)),
        recent_requests: view.recent.requests,
        recent_rejected: view.recent.rejected,
        success_ratio: view.recent.success_ratio,
        rejections: rejections(&view.rejections),
    })
}

fn registered(backend: &BackendView) -> Option<&Discovered> {
    backend.registered.as_deref()
}

fn metadata_of(registered: &Discovered) -> BTreeMap<String, String> {
    let pairs = registered.metadata.iter();
    pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// Non-zero rejection counts, by route.
fn rejections(rejections: &Rejections) -> Vec<proto::Rejection> {
    let of_route = |(route, totals): (Box<str>, RejectTotals)| {
        let counts = RejectReason::ALL.iter().zip(totals).filter(|(_, count)| *count > 0);
        let rejection = move |(reason, count): (&RejectReason, u64)| proto::Rejection {
            route: route.to_string(),
            reason: reason.name().into(),
            count,
        };
        counts.map(rejection)
    };
    rejections.by_route().into_iter().flat_map(of_route).collect()
}

fn since(revision: u64, counted: OutcomesSince) -> proto::Since {
    let codes = counted.codes.into_iter().map(|(protocol, code, count)| proto::CodeCount {
        protocol: protocol.name().into(),
        code: code.to_string(),
        count,
    });
    let OutcomesSince { requests, failures, .. } = counted;
    proto::Since { revision, requests, failures, codes: codes.collect() }
}

fn age(backend: &BackendView, now: Time) -> Option<f64> {
    let age = backend.endpoint.load().streams().mean_age(now);
    age.map(|age| age.as_secs_f64())
}

pub(super) fn new_backend(backend: proto::NewBackend) -> EndpointSpec {
    EndpointSpec { address: backend.address, weight: backend.weight.unwrap_or(1) }
}

pub(super) fn state(state: BackendState) -> proto::BackendState {
    match state {
        BackendState::Ready => proto::BackendState::Ready,
        BackendState::Draining => proto::BackendState::Draining,
        BackendState::Connecting => proto::BackendState::Connecting,
        BackendState::Idle => proto::BackendState::Idle,
        BackendState::Unhealthy => proto::BackendState::Unhealthy,
        BackendState::Ejected => proto::BackendState::Ejected,
    }
}

pub(super) fn refusal(error: &ChangeError) -> Status {
    let message = error.to_string();
    match error {
        ChangeError::Gone { .. } => Status::not_found(message),
        ChangeError::Invalid(_) => Status::invalid_argument(message),
        ChangeError::Stale { .. } => Status::aborted(message),
        ChangeError::Empty { .. } => Status::failed_precondition(message),
        ChangeError::Closed { .. } => Status::unavailable(message),
        ChangeError::CannotRevert(error) => changes::refusal(error),
        ChangeError::NotKept(error) => audit::not_kept(error),
    }
}
