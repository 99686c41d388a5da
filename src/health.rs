//! Active health checks, shared by all services of the process.
//!
//! A service configures how its backends are checked. The [`Board`] runs one checker per address
//! and check, however many services subscribe, and notifies them of changes. Checkers run on a
//! thread of their own, and use other HTTP codecs than requests do. This module knows no services,
//! and does not decide which backends get requests.

mod board;
mod check;
mod checkers;
mod connection;
mod failure;
mod grpc;
mod judge;
mod patient;
mod prober;
mod question;

pub use board::{Board, CheckCounts, CheckResult, Health, Listener, Subject, Unwell, Watched};
pub use check::{Check, Kind};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Check, Kind};

    /// A check, for tests.
    pub fn check() -> Check {
        Check {
            kind: Kind::Tcp,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            port: None,
            authority: None,
            headers: Vec::new(),
            well_at_first: true,
            version: Default::default(),
            tls: None,
        }
    }
}
