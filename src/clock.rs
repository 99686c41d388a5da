//! The one clock: monotonic time since the process started.
//!
//! Everything below takes [`Time`] as an argument; only drivers and cold tasks read it here.

use std::sync::OnceLock;
use std::time::Instant;

use crate::model::Time;

/// The time now. Never goes back.
#[expect(clippy::disallowed_methods)] // here time comes from
pub fn now() -> Time {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = EPOCH.get_or_init(Instant::now);
    Time::from_nanos(u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
}
