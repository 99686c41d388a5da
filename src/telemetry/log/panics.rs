//! Panic hook: panics are bugs; each is logged and counted.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Panics so far.
pub fn panics() -> u64 {
    PANICS.load(Relaxed)
}

/// Installs the panic hook. It replaces the default one, which writes to standard error directly
/// and would panic again if that fails.
pub(super) fn install_hook() {
    panic::set_hook(Box::new(note));
}

fn note(info: &PanicHookInfo<'_>) {
    PANICS.fetch_add(1, Relaxed);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let reason = info.payload_as_str().unwrap_or("unknown");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, place, reason, %backtrace, "panic: please report it");
    } else {
        tracing::error!(thread, place, reason, "panic: please report it");
    }
}
