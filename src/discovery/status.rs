//! How a source is doing, for metrics and operators.

use std::sync::Arc;
use std::time::SystemTime;

/// How a source is doing.
#[derive(Clone, Debug, Default)]
pub struct SourceStatus {
    /// Whether the registry answers.
    pub up: bool,
    /// Backends in its last set.
    pub endpoints: usize,
    /// Sets that differed from the one before.
    pub updates: u64,
    /// Failures, and entries that could not be used.
    pub errors: u64,
    /// When the registry last answered.
    pub last_success: Option<SystemTime>,
    /// The last failure, or entry that could not be used.
    pub last_error: Option<(SystemTime, Arc<str>)>,
    /// Backends that are kept though the last set lacks them.
    pub held: usize,
}

impl SourceStatus {
    /// Whether it has failed, and not answered since.
    pub fn is_failing(&self) -> bool {
        !self.up && self.last_error.is_some()
    }
}
