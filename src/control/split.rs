//! Splits of routes: list, get, change.

use std::sync::Arc;

use tonic::Status;

use super::{audit, changes, proto};
use crate::overrides::{Author, ChangeLog};
use crate::service::{Registry, ShareView, SplitChange, SplitError, SplitView, Terms};

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
pub(super) async fn change(
    registry: &Arc<Registry>,
    route: String,
    change: SplitChange,
    terms: Terms,
    by: Author,
) -> Result<u64, Status> {
    let registry = Arc::clone(registry);
    // A task of its own, so that a change goes on to its end when the caller gives up: one that is kept
    // has to take effect.
    let change = async move { registry.change_split(&route, &change, terms, &by).await };
    let changed = tokio::spawn(change).await;
    let changed = changed.map_err(|_| Status::internal("the change failed"))?;
    changed.map_err(|error| refusal(&error))
}

/// The last changes of the split of a route.
pub(super) fn changes(registry: &Registry, route: &str) -> Result<ChangeLog, Status> {
    registry.split_changes(route).map_err(|error| refusal(&error))
}

fn split(view: SplitView) -> proto::Split {
    let SplitView { route, matched, revision, split_by, shares } = view;
    let share = |share: ShareView| {
        let ShareView { name, service, weight, configured, provenance, until } = share;
        let reason = provenance.as_ref().and_then(|provenance| provenance.by.reason.as_deref());
        let reason = reason.unwrap_or_default().to_owned();
        let (by, at) =
            provenance.map(|provenance| (provenance.by.to_string(), provenance.at.into())).unzip();
        let (configured_weight, by) = (configured, by.unwrap_or_default());
        let until = until.map(Into::into);
        proto::Share { name, service, weight, configured_weight, by, at, reason, until }
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
        SplitError::CannotRevert(error) => changes::refusal(error),
        SplitError::NotKept(error) => audit::not_kept(error),
    }
}
