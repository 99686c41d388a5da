//! Counters and gauges of configuration reloads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::names;
use super::page::Page;
use crate::clock;

/// Counts reloads; the initial load is not one.
#[derive(Debug)]
pub struct Reloads {
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// Unix time in seconds (f64 bits).
    last_success: AtomicU64,
    in_sync: AtomicBool,
    restart_needed: AtomicBool,
}

/// A snapshot of the reload metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReloadSample {
    /// Successful reloads.
    pub succeeded: u64,
    /// Failed reloads, which changed nothing.
    pub failed: u64,
    /// When the configuration in effect was loaded, as Unix time in seconds.
    pub last_success: f64,
    /// Whether the last reload succeeded.
    pub in_sync: bool,
    /// Whether a change waits for a restart.
    pub restart_needed: bool,
}

impl Reloads {
    /// No reloads yet; the configuration was loaded just now.
    pub fn new() -> Reloads {
        let last_success = AtomicU64::new(clock::unix_seconds().to_bits());
        Reloads {
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_success,
            in_sync: AtomicBool::new(true),
            restart_needed: AtomicBool::new(false),
        }
    }

    /// Counts a success.
    pub fn succeed(&self) {
        self.last_success.store(clock::unix_seconds().to_bits(), Relaxed);
        self.succeeded.fetch_add(1, Relaxed);
        self.in_sync.store(true, Relaxed);
    }

    /// Counts a failure.
    pub fn fail(&self) {
        self.failed.fetch_add(1, Relaxed);
        self.in_sync.store(false, Relaxed);
    }

    /// Sets whether a change waits for a restart.
    pub fn set_restart_needed(&self, needed: bool) {
        self.restart_needed.store(needed, Relaxed);
    }

    /// A snapshot.
    pub fn sample(&self) -> ReloadSample {
        ReloadSample {
            succeeded: self.succeeded.load(Relaxed),
            failed: self.failed.load(Relaxed),
            last_success: f64::from_bits(self.last_success.load(Relaxed)),
            in_sync: self.in_sync.load(Relaxed),
            restart_needed: self.restart_needed.load(Relaxed),
        }
    }
}

impl Default for Reloads {
    fn default() -> Reloads {
        Reloads::new()
    }
}

/// Writes the metrics of reloads.
pub(super) fn write(page: &mut Page, reloads: ReloadSample) {
    page.counter(&names::CONFIG_RELOADS, &["success"], reloads.succeeded);
    page.counter(&names::CONFIG_RELOADS, &["error"], reloads.failed);
    page.gauge(&names::CONFIG_LOADED, &[], reloads.last_success);
    page.gauge(&names::CONFIG_IN_SYNC, &[], u8::from(reloads.in_sync));
    page.gauge(&names::CONFIG_RESTART_NEEDED, &[], u8::from(reloads.restart_needed));
}
