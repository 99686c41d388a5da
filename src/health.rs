//! Whether what is at an address is well: asked by whoever has to know, once in the process.
//!
//! A service says how its backends are to be checked; the [`Board`] has one checker for each address
//! that is to be checked in the same way, however many services ask for it, and tells them all what
//! has become of it. Checkers have a thread of their own, and speak HTTP/2 through another codec than
//! requests do. This part knows no services, and nobody here decides who gets requests.

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

    /// Some check.
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
