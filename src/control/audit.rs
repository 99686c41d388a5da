//! Who asks for changes, and lines in the log for those that never came to a service's writer, which
//! logs all others.

use tonic::Request;

use super::limit::Caller;
use crate::model::Peer;
use crate::service::Change;

/// Metadata of a call: who makes it, in their own words.
pub const BY: &str = "equipoise-by";
/// Of these words so many characters are kept.
const MAX_BY: usize = 64;

/// What the log calls who has asked: the address, and then what nobody has verified.
pub(super) fn who<T>(request: &Request<T>) -> String {
    let peer = match request.extensions().get() {
        Some(Caller(Some(address))) => address.to_string(),
        Some(Caller(None)) => Peer::Unix.to_string(),
        None => "unknown peer".to_owned(),
    };
    let said = request.metadata().get(BY).and_then(|said| said.to_str().ok());
    match said.map(str::trim).filter(|said| !said.is_empty()) {
        Some(said) => format!("{peer} ({said:.MAX_BY$})"),
        None => peer,
    }
}

/// Says that a change was refused.
pub(super) fn refused(service: &str, by: &str, change: &Change, error: &str) {
    let service: String = service.chars().take(64).collect();
    tracing::warn!(service, by, %change, error, "change refused");
}
