//! Why a change is refused.

use crate::overrides::{CannotRevert, NotKept};

/// Why a change was refused; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The change is invalid; lists every problem.
    #[error("{0}")]
    Invalid(String),
    /// Precondition failed: the service is at another revision than expected.
    #[error(
        "service `{service}` is at revision {current}, not at the expected {expected}: \
         read it again and decide anew"
    )]
    Stale {
        /// The service.
        service: String,
        /// The revision it is at.
        current: u64,
        /// The revision that the change expected.
        expected: u64,
    },
    /// Precondition failed: no eligible backend would be left.
    #[error(
        "this would leave service `{service}` with no backend to take requests; \
         set allow_empty if that is meant"
    )]
    Empty {
        /// The service.
        service: String,
    },
    /// The service is no longer configured.
    #[error("there is no service `{service}`: the configuration has it no more")]
    Gone {
        /// The service.
        service: String,
    },
    /// The change that is to be reverted cannot be.
    #[error(transparent)]
    CannotRevert(#[from] CannotRevert),
    /// The store of overrides cannot keep it.
    #[error(transparent)]
    NotKept(#[from] NotKept),
    /// The writer has ended.
    #[error("service `{service}` no longer takes changes: the gateway is shutting down")]
    Closed {
        /// The service.
        service: String,
    },
}
