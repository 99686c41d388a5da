//! Counters of the journal.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A line could not be written.
    Write,
    /// What was written could not be synced.
    Sync,
    /// A new file could not be written.
    Rewrite,
    /// The disk did not answer in time.
    Stuck,
    /// At the start: the last line was not written to its end.
    Torn,
    /// At the start: there were damaged lines.
    Corrupt,
}

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 6] = [
        Failure::Write,
        Failure::Sync,
        Failure::Rewrite,
        Failure::Stuck,
        Failure::Torn,
        Failure::Corrupt,
    ];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Failure::Write => "write",
            Failure::Sync => "sync",
            Failure::Rewrite => "rewrite",
            Failure::Stuck => "stuck",
            Failure::Torn => "torn",
            Failure::Corrupt => "corrupt",
        }
    }
}

/// Counters of the journal.
#[derive(Debug, Default)]
pub struct Counters {
    failures: [AtomicU64; Failure::ALL.len()],
    down: AtomicBool,
}

impl Counters {
    pub(super) fn count(&self, failure: Failure) {
        if let Some(count) = self.failures.get(failure as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn set_up(&self, up: bool) {
        self.down.store(!up, Relaxed);
    }

    /// Failures of this kind.
    pub fn failures(&self, failure: Failure) -> u64 {
        self.failures.get(failure as usize).map_or(0, |count| count.load(Relaxed))
    }

    /// Whether changes can be kept, as far as is known.
    pub fn is_up(&self) -> bool {
        !self.down.load(Relaxed)
    }
}
