//! Connections that were not served, by the reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a connection was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many were open as may be.
    MaxConnections,
    /// The descriptors that are left are kept for health, control and backends.
    Descriptors,
    /// The worker that was to serve it has too many waiting.
    WorkerBusy,
    /// The system could not hand it over.
    AcceptFailed,
    /// It was the longest idle, and another one needed its place.
    Evicted,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Refusal; 5] = [
        Refusal::MaxConnections,
        Refusal::Descriptors,
        Refusal::WorkerBusy,
        Refusal::AcceptFailed,
        Refusal::Evicted,
    ];

    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::MaxConnections => "max_connections",
            Refusal::Descriptors => "descriptors",
            Refusal::WorkerBusy => "worker_busy",
            Refusal::AcceptFailed => "accept_failed",
            Refusal::Evicted => "evicted",
        }
    }
}

/// What one listener has refused.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; Refusal::ALL.len()]);

impl Refusals {
    /// Counts one.
    pub fn count(&self, why: Refusal) {
        self.0[why as usize].fetch_add(1, Relaxed);
    }

    /// How many there were, in the order of [`Refusal::ALL`].
    pub fn totals(&self) -> [u64; Refusal::ALL.len()] {
        std::array::from_fn(|index| self.0[index].load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_count() {
        let refusals = Refusals::default();
        for (number, why) in Refusal::ALL.into_iter().enumerate() {
            (0..=number).for_each(|_| refusals.count(why));
        }
        assert_eq!(refusals.totals(), [1, 2, 3, 4, 5]);
    }
}
