//! Terms of changes; the last changes of a service or a split.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use super::proto;
use crate::overrides::{CannotRevert, ChangeLog, ChangeRecord, RecordKind, Subject};
use crate::service::Terms;

/// How a change is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub terms: Terms,
    /// Only to say what it would do.
    pub dry_run: bool,
}

/// The terms of a change, validated as far as the message goes.
pub(super) fn asked(
    expected_revision: Option<u64>,
    allow_empty: bool,
    ttl: Option<prost_types::Duration>,
    dry_run: bool,
) -> Result<Asked, Status> {
    let ttl = ttl.map(Duration::try_from).transpose();
    let ttl = ttl.map_err(|error| Status::invalid_argument(format!("ttl: {error}")))?;
    Ok(Asked { terms: Terms { expected_revision, allow_empty, ttl }, dry_run })
}

/// What a request is about, which names one of the two.
pub(super) fn subject(service: &str, route: &str) -> Result<Subject, Status> {
    match (service, route) {
        ("", "") => Err(Status::invalid_argument("name a service or a route")),
        (service, "") => Ok(Subject::service(service)),
        ("", route) => Ok(Subject::route(route)),
        _ => Err(Status::invalid_argument("name a service or a route, not both")),
    }
}

/// The changes, the newest first.
pub(super) fn list(log: &ChangeLog, durable: bool) -> proto::ListChangesResponse {
    proto::ListChangesResponse { changes: log.records().rev().map(change).collect(), durable }
}

fn change(record: &Arc<ChangeRecord>) -> proto::Change {
    let ChangeRecord { sequence, kind, provenance, change, old, new, revision, .. } = &**record;
    let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    proto::Change {
        revision: revision.unwrap_or_default(),
        at: Some(provenance.at.into()),
        actor: text(&provenance.by.actor),
        peer: provenance.by.peer.to_string(),
        reason: text(&provenance.by.reason),
        change: change.clone(),
        old: old.clone(),
        new: new.clone(),
        until: record.until.map(|until| until.wall.into()),
        ended: *kind != RecordKind::Change,
        sequence: *sequence,
        identity: text(&provenance.by.identity),
    }
}

/// The refusal of a revert.
pub(super) fn refusal(error: &CannotRevert) -> Status {
    let message = error.to_string();
    match error {
        CannotRevert::Unknown { .. } => Status::out_of_range(message),
        CannotRevert::Edited { .. } => Status::aborted(message),
        CannotRevert::Over { .. } | CannotRevert::Ended { .. } => {
            Status::failed_precondition(message)
        }
    }
}
