//! Splits of routes: list, get, change.

use tonic::Status;

use super::proto;
use crate::service::{Author, Registry, ShareView, SplitChange, SplitError, SplitView};

/// The splits of all routes.
pub(super) fn list(registry: &Registry) -> proto::ListSplitsResponse {
    let splits = registry.routing().splits.list();
    proto::ListSplitsResponse { splits: splits.into_iter().map(split).collect() }
}

/// The split of one route.
pub(super) fn get(registry: &Registry, route: &str) -> Result<proto::Split, Status> {
    registry.routing().splits.view(route).map(split).map_err(|error| refusal(&error))
}

/// Applies a change; returns the new revision.
pub(super) fn change(
    registry: &Registry,
    route: &str,
    change: &SplitChange,
    expected: Option<u64>,
    by: &Author,
) -> Result<u64, Status> {
    registry.change_split(route, change, expected, by).map_err(|error| refusal(&error))
}

fn split(view: SplitView) -> proto::Split {
    let SplitView { route, matched, revision, split_by, shares } = view;
    let share = |share: ShareView| {
        let ShareView { name, service, weight, configured, provenance } = share;
        let (by, at) =
            provenance.map(|provenance| (provenance.by.to_string(), provenance.at.into())).unzip();
        let (configured_weight, by) = (configured, by.unwrap_or_default());
        proto::Share { name, service, weight, configured_weight, by, at }
    };
    let shares = shares.into_iter().map(share).collect();
    let split_by = split_by.unwrap_or_default();
    proto::Split { route, r#match: matched, revision, split_by, shares }
}

fn refusal(error: &SplitError) -> Status {
    let message = error.to_string();
    match error {
        SplitError::Unknown(..) => Status::not_found(message),
        SplitError::Invalid(_) => Status::invalid_argument(message),
        SplitError::Stale { .. } => Status::aborted(message),
        SplitError::Empty(_) => Status::failed_precondition(message),
    }
}
