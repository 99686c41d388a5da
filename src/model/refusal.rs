//! Refused connections, counted by reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// The connection limit was reached.
    MaxConnections,
    /// The remaining file descriptors are reserved for health, control and backends.
    Descriptors,
    /// The accept queue of its worker is full.
    WorkerBusy,
    /// The socket could not be handed to its worker.
    AcceptFailed,
    /// `proxy_protocol` does not trust its peer.
    Untrusted,
    /// It has no header of the PROXY protocol, though its peer is to send one.
    ProxyHeader,
    /// Its TLS handshake with the metrics port failed.
    Handshake,
    /// Evicted: it was the longest idle when another connection needed its slot.
    Evicted,
}

impl ConnectionRefusal {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [ConnectionRefusal; 8] = [
        ConnectionRefusal::MaxConnections,
        ConnectionRefusal::Descriptors,
        ConnectionRefusal::WorkerBusy,
        ConnectionRefusal::AcceptFailed,
        ConnectionRefusal::Untrusted,
        ConnectionRefusal::ProxyHeader,
        ConnectionRefusal::Handshake,
        ConnectionRefusal::Evicted,
    ];

    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            ConnectionRefusal::MaxConnections => "max_connections",
            ConnectionRefusal::Descriptors => "descriptors",
            ConnectionRefusal::WorkerBusy => "worker_busy",
            ConnectionRefusal::AcceptFailed => "accept_failed",
            ConnectionRefusal::Untrusted => "untrusted",
            ConnectionRefusal::ProxyHeader => "proxy_header",
            ConnectionRefusal::Handshake => "handshake",
            ConnectionRefusal::Evicted => "evicted",
        }
    }
}

/// Counters of one listener's refused connections.
#[derive(Debug, Default)]
pub struct ConnectionRefusals([AtomicU64; ConnectionRefusal::ALL.len()]);

impl ConnectionRefusals {
    /// Counts one.
    pub fn count(&self, why: ConnectionRefusal) {
        self.0[why as usize].fetch_add(1, Relaxed);
    }

    /// The counts, in the order of [`ConnectionRefusal::ALL`].
    pub fn totals(&self) -> [u64; ConnectionRefusal::ALL.len()] {
        std::array::from_fn(|index| self.0[index].load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_count() {
        let refusals = ConnectionRefusals::default();
        for (number, why) in ConnectionRefusal::ALL.into_iter().enumerate() {
            (0..=number).for_each(|_| refusals.count(why));
        }
        assert_eq!(refusals.totals(), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
