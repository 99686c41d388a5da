//! Between the values of the service layer and the messages of the API.

use tonic::Status;

use super::proto;
use crate::model::Time;
use crate::service::{BackendState, BackendView, ChangeError, ServiceView};

pub(super) fn summary(view: &ServiceView) -> proto::ServiceSummary {
    let count = |wanted: fn(&BackendView) -> bool| {
        u32::try_from(view.backends.iter().filter(|b| wanted(b)).count()).unwrap_or(u32::MAX)
    };
    proto::ServiceSummary {
        name: view.spec.name.clone(),
        policy: view.spec.balancer.policy.into(),
        revision: view.revision,
        backends: count(|_| true),
        eligible_backends: count(|backend| backend.effective_weight() > 0),
        draining_backends: count(|backend| backend.drained),
    }
}

pub(super) fn service(view: &ServiceView, now: Time) -> proto::Service {
    let backend = |b: &BackendView| proto::Backend {
        address: b.endpoint.address().into(),
        weight: b.weight,
        effective_weight: b.effective_weight(),
        state: state(b.state()).into(),
        in_flight: b.endpoint.load().in_flight(),
        ewma_seconds: view.ewma_seconds(b, now),
        requests: b.endpoint.requests(),
        recent_requests: b.recent.requests,
        success_ratio: b.recent.success_ratio,
        p50_seconds: b.recent.p50,
        p90_seconds: b.recent.p90,
        p99_seconds: b.recent.p99,
    };
    proto::Service {
        name: view.spec.name.clone(),
        policy: view.spec.balancer.policy.into(),
        revision: view.revision,
        backends: view.backends.iter().map(backend).collect(),
    }
}

fn state(state: BackendState) -> proto::BackendState {
    match state {
        BackendState::Ready => proto::BackendState::Ready,
        BackendState::Draining => proto::BackendState::Draining,
        BackendState::Connecting => proto::BackendState::Connecting,
    }
}

pub(super) fn refusal(error: &ChangeError) -> Status {
    let message = error.to_string();
    match error {
        ChangeError::Invalid(_) => Status::invalid_argument(message),
        ChangeError::Stale { .. } => Status::aborted(message),
        ChangeError::Empty { .. } => Status::failed_precondition(message),
        ChangeError::Closed { .. } => Status::unavailable(message),
    }
}
