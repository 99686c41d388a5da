//! Refused connections, counted by reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The connection limit was reached.
    MaxConnections,
    /// The remaining file descriptors are reserved for health, control and backends.
    Descriptors,
    /// The accept queue of its worker is full.
    WorkerBusy,
    /// The socket could not be handed to its worker.
    AcceptFailed,
    /// Evicted: it was the longest idle when another connection needed its slot.
    Evicted,
}

impl Refusal {
    /// All reasons, in the order of their discriminants.
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

/// Counters of one listener's refused connections.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; Refusal::ALL.len()]);

impl Refusals {
    /// Counts one.
    pub fn count(&self, why: Refusal) {
        self.0[why as usize].fetch_add(1, Relaxed);
    }

    /// The counts, in the order of [`Refusal::ALL`].
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
