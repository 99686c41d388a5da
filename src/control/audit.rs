//! Audit: the author of a change, and records of changes refused before they reached a service's
//! writer, which records all others.

use tonic::Request;

use super::limit::Caller;
use crate::model::Peer;
use crate::service::{Author, Change, ChangeRecord, Provenance, Subject};

/// Metadata key of the author's name, which is not verified.
pub const BY: &str = "equipoise-by";
/// Metadata key of the reason for the change.
pub const REASON: &str = "equipoise-reason";
/// Length limits of these texts, in characters.
const MAX_BY: usize = 64;
const MAX_REASON: usize = 256;

/// The author: the peer address, and the unverified metadata.
pub(super) fn author<T>(request: &Request<T>) -> Author {
    let peer = match request.extensions().get() {
        Some(Caller { address: Some(address), .. }) => address.to_string(),
        Some(Caller { address: None, .. }) => Peer::Unix.to_string(),
        None => "unknown peer".to_owned(),
    };
    let said = |key: &str, most: usize| {
        let said = request.metadata().get(key).and_then(|said| said.to_str().ok());
        let said = said.map(str::trim).filter(|said| !said.is_empty());
        said.map(|said| said.chars().take(most).collect::<String>().into())
    };
    let (actor, reason) = (said(BY, MAX_BY), said(REASON, MAX_REASON));
    Author { peer: peer.into(), actor, reason }
}

/// Logs a refused change.
pub(super) fn refused(service: &str, by: &Author, change: &Change, error: &str) {
    let subject = Subject::service(service);
    ChangeRecord::refused(Provenance::now(by), subject, change, error, None).log();
}
