//! Splits of routes: list, get, change.

use std::sync::Arc;

use tonic::{Code, Status};

use super::audit::Call;
use super::changes::Asked;
use super::guard::Permit;
use super::preview::{self, Answer};
use super::{audit, changes, proto};
use crate::overrides::{ChangeLog, ChangeRecord, Provenance, Subject};
use crate::service::{Registry, ShareView, SplitChange, SplitError, SplitView};

/// The splits that the caller may see: over services all of which it may see.
pub(super) fn list(registry: &Registry, permit: &Permit) -> proto::ListSplitsResponse {
    let splits = registry.routing().splits.list().into_iter();
    let splits = splits.filter(|split| split.shares.iter().all(|it| permit.sees(&it.service)));
    proto::ListSplitsResponse { splits: splits.map(split).collect() }
}

/// The split of one route.
pub(super) fn get(
    registry: &Registry,
    permit: &Permit,
    route: &str,
) -> Result<proto::Split, Status> {
    allowed(registry, permit, route).map(split)
}

/// The split of a route, if the caller may call its method for all services of it.
fn allowed(registry: &Registry, permit: &Permit, route: &str) -> Result<SplitView, Status> {
    let view = registry.routing().splits.view(route).map_err(|error| refusal(&error))?;
    view.shares.iter().try_for_each(|share| permit.check(&share.service))?;
    Ok(view)
}

/// Applies a change, or says what it would do.
pub(super) async fn change(
    registry: &Arc<Registry>,
    route: String,
    change: SplitChange,
    Asked { terms, dry_run }: Asked,
    Call { permit, by }: Call,
) -> Result<Answer, Status> {
    permit.told();
    if let Err(denied) = allowed(registry, &permit, &route)
        && denied.code() == Code::PermissionDenied
    {
        let (provenance, subject) = (Provenance::now(&by), Subject::route(&route));
        let record = ChangeRecord::refused(provenance, subject, &change, denied.message(), None);
        registry.refused(&record);
        return Err(denied);
    }
    let durable = registry.keeps_changes();
    if dry_run {
        let preview = registry.preview_split(&route, &change, terms, &by).await;
        let (before, after, until) = preview.map_err(|error| refusal(&error))?;
        let preview = Some(preview::split(&before, &after, until));
        return Ok(Answer { revision: before.revision, durable, preview, warning: None });
    }
    let registry = Arc::clone(registry);
    // A task of its own, so that a change goes on to its end when the caller gives up: one that is kept
    // has to take effect.
    let change = async move { registry.change_split(&route, &change, terms, &by).await };
    let changed = tokio::spawn(change).await;
    let changed = changed.map_err(|_| Status::internal("the change failed"))?;
    let revision = changed.map_err(|error| refusal(&error))?;
    Ok(Answer { revision, durable, preview: None, warning: None })
}

/// The last changes of the split of a route.
pub(super) fn changes(
    registry: &Registry,
    permit: &Permit,
    route: &str,
) -> Result<ChangeLog, Status> {
    allowed(registry, permit, route)?;
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
