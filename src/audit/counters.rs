//! Counters of the audit.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFailure {
    /// Lines could not be written or synced.
    Write,
    /// The disk has not answered in time.
    Stuck,
    /// A line was given up, as too many wait.
    Lost,
    /// A refusal has no line of its own, as there are too many.
    Suppressed,
}

impl AuditFailure {
    /// All of them, in the order of their discriminants.
    pub const ALL: [AuditFailure; 4] =
        [AuditFailure::Write, AuditFailure::Stuck, AuditFailure::Lost, AuditFailure::Suppressed];

    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            AuditFailure::Write => "write",
            AuditFailure::Stuck => "stuck",
            AuditFailure::Lost => "lost",
            AuditFailure::Suppressed => "suppressed",
        }
    }
}

/// Counters of the audit.
#[derive(Debug)]
pub struct AuditCounters {
    up: AtomicBool,
    failures: [AtomicU64; AuditFailure::ALL.len()],
}

impl Default for AuditCounters {
    fn default() -> AuditCounters {
        AuditCounters { up: AtomicBool::new(true), failures: Default::default() }
    }
}

impl AuditCounters {
    /// Counts a failure.
    pub(super) fn count(&self, failure: AuditFailure) {
        self.failures[failure as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn set_up(&self, up: bool) {
        self.up.store(up, Relaxed);
    }

    /// Whether the last lines could be written.
    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// Failures so far.
    pub fn failures(&self, failure: AuditFailure) -> u64 {
        self.failures[failure as usize].load(Relaxed)
    }
}
