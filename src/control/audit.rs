//! Lines in the log for changes that never came to a service's writer, which logs all others.

use crate::service::Change;

/// Says that a change was refused.
pub(super) fn refused(service: &str, by: &str, change: &Change, error: &str) {
    let service: String = service.chars().take(64).collect();
    tracing::warn!(service, by, %change, error, "change refused");
}
