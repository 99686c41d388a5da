//! The terms of a change.

use std::time::Duration;

use super::ChangeError;

/// Maximum duration of a change that has one.
const MAX_TTL: Duration = Duration::from_secs(365 * 24 * 3600);

/// Terms of a change: optimistic concurrency, last-backend guard, for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Refuse the change if the service is at another revision.
    pub expected_revision: Option<u64>,
    /// Allow a change that leaves no eligible backend.
    pub allow_empty: bool,
    /// After this time the change reverts by itself.
    pub ttl: Option<Duration>,
}

/// Validates for how long a change is to hold.
pub(in crate::service) fn validate_ttl(ttl: Option<Duration>) -> Result<(), ChangeError> {
    match ttl {
        Some(ttl) if ttl.is_zero() || ttl > MAX_TTL => {
            let message = "a change holds for up to 365 days, and longer than no time";
            Err(ChangeError::Invalid(message.into()))
        }
        _ => Ok(()),
    }
}
