//! How loading the configuration went, as it is counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::clock;

/// Counts reloads. The first load, without which nothing runs, is none.
#[derive(Debug)]
pub struct Reloads {
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// In seconds since 1970 (f64).
    last_success: AtomicU64,
    in_sync: AtomicBool,
    restart_needed: AtomicBool,
}

/// The reloads so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReloadSample {
    /// Those that went well.
    pub succeeded: u64,
    /// Those that changed nothing, because something was wrong.
    pub failed: u64,
    /// When the configuration that is in effect was loaded, in seconds since 1970.
    pub last_success: f64,
    /// Whether what was loaded last is in effect.
    pub in_sync: bool,
    /// Whether some of it waits for the next start.
    pub restart_needed: bool,
}

impl Reloads {
    /// None yet: the configuration was loaded just now.
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

    /// One more that went well.
    pub fn succeed(&self) {
        self.last_success.store(clock::unix_seconds().to_bits(), Relaxed);
        self.succeeded.fetch_add(1, Relaxed);
        self.in_sync.store(true, Relaxed);
    }

    /// One more that changed nothing.
    pub fn fail(&self) {
        self.failed.fetch_add(1, Relaxed);
        self.in_sync.store(false, Relaxed);
    }

    /// Whether some of what is in effect waits for the next start.
    pub fn set_restart_needed(&self, needed: bool) {
        self.restart_needed.store(needed, Relaxed);
    }

    /// Those so far.
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
