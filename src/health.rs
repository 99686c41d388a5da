//! Active health checks, shared by all services of the process.
//!
//! A service configures how its backends are checked. The [`HealthMonitor`] runs one checker per
//! address and check, however many services subscribe, and notifies them of changes. Checkers run
//! on a thread of their own, and use other HTTP codecs than requests do. This module knows no
//! services, and does not decide which backends get requests.

mod check;
mod checkers;
mod connection;
mod failure;
mod grpc;
mod monitor;
mod prober;
mod request;
mod target;
mod thresholds;

pub use check::{Check, Probe};
pub use monitor::{
    CheckCounts, CheckResult, CheckTarget, Health, HealthMonitor, Subscriber, Subscription,
    Unhealthy,
};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Check, Probe};

    /// A check, for tests.
    pub fn check() -> Check {
        Check {
            probe: Probe::Tcp,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            port: None,
            authority: None,
            headers: Vec::new(),
            initially_healthy: true,
            version: Default::default(),
            tls: None,
        }
    }
}
