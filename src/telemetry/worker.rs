//! Per-worker counters of rejections and connections.
//!
//! Each counter has a single writer, so counting is a plain load and store; a scrape sums over
//! workers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::model::{Class, RejectReason};
use crate::stats::increment;

macro_rules! reasons {
    (
        $(#[$doc:meta])* $name:ident:
        $($(#[$variant_doc:meta])* $variant:ident $text:literal,)*
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// All values, in the order of their discriminants.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The label value.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }
    };
}

reasons! {
    /// The side of a connection.
    Side:
    /// To a client.
    Downstream "downstream",
    /// To a backend.
    Upstream "upstream",
}

reasons! {
    /// Why a connection was closed. Most of the first ones are [`Limits`](crate::http::Limits).
    CloseReason:
    /// The peer reset too many streams.
    Resets "resets",
    /// The peer reset most streams right after opening them (rapid reset).
    PrematureResets "premature_resets",
    /// Too many streams were reset because of stream errors by the peer.
    Errors "errors",
    /// Too many PING frames.
    Pings "pings",
    /// Too many SETTINGS frames.
    Settings "settings",
    /// Too many frames without effect.
    IdleFrames "idle_frames",
    /// Too many WINDOW_UPDATE frames.
    WindowUpdates "window_updates",
    /// Too many DATA frames without payload.
    EmptyData "empty_data",
    /// Too much framing overhead for the payload.
    Overhead "overhead",
    /// A header list far beyond the limit.
    Headers "headers",
    /// A header block in too many CONTINUATION frames.
    Continuation "continuation",
    /// The TLS handshake failed or took too long.
    Handshake "handshake",
    /// Timeout of the preface, the first SETTINGS, or the acknowledgement of ours.
    PrefaceTimeout "preface_timeout",
    /// Timeout of a partial frame or header block.
    FrameTimeout "frame_timeout",
    /// Write timeout: the peer read nothing.
    WriteStall "write_stall",
    /// The peer was silent and did not answer a PING.
    Keepalive "keepalive",
    /// Idle timeout: no streams.
    Idle "idle",
    /// The maximum age was reached.
    MaxAge "max_age",
    /// All its requests had been cancelled; closing it cancels them at the backend.
    Cancelled "cancelled",
    /// The gateway or the backend was being drained.
    Drain "drain",
    /// A protocol error by the peer.
    Protocol "protocol",
    /// A flow-control error by the peer.
    FlowControl "flow_control",
    /// An HPACK decoding error.
    Compression "compression",
    /// Closed gracefully by the peer.
    PeerClosed "peer_closed",
    /// An I/O error.
    Io "io",
}

/// Counters of one worker, which is their only writer.
#[derive(Debug)]
#[repr(align(128))] // a pair of cache lines, against false sharing
pub struct WorkerMetrics {
    accepted: AtomicU64,
    outcomes: [AtomicU64; Class::ALL.len()],
    rejected: [AtomicU64; RejectReason::ALL.len()],
    opened: [AtomicU64; Side::ALL.len()],
    closed: [[AtomicU64; CloseReason::ALL.len()]; Side::ALL.len()],
}

impl Default for WorkerMetrics {
    fn default() -> WorkerMetrics {
        WorkerMetrics {
            accepted: AtomicU64::new(0),
            outcomes: [const { AtomicU64::new(0) }; _],
            rejected: [const { AtomicU64::new(0) }; _],
            opened: [const { AtomicU64::new(0) }; _],
            closed: [const { [const { AtomicU64::new(0) }; _] }; _],
        }
    }
}

impl WorkerMetrics {
    /// Counts an accepted request.
    pub fn exchange_accepted(&self) {
        increment(&self.accepted);
    }

    /// Counts a request's outcome; exactly one for each accepted.
    pub fn exchange_ended(&self, class: Class) {
        increment(&self.outcomes[class as usize]);
    }

    /// Accepted requests.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Requests with such an outcome.
    pub fn outcomes(&self, class: Class) -> u64 {
        self.outcomes[class as usize].load(Relaxed)
    }

    /// Counts a request that was rejected before it had a route.
    pub fn reject(&self, reason: RejectReason) {
        increment(&self.rejected[reason as usize]);
    }

    /// Counts an opened connection.
    pub fn connection_opened(&self, side: Side) {
        increment(&self.opened[side as usize]);
    }

    /// Counts a closed connection; once for each opened.
    pub fn connection_closed(&self, side: Side, reason: CloseReason) {
        increment(&self.closed[side as usize][reason as usize]);
    }

    /// Requests rejected for this reason before they had a route.
    pub fn rejected(&self, reason: RejectReason) -> u64 {
        self.rejected[reason as usize].load(Relaxed)
    }

    /// Connections closed for this reason.
    pub fn closed(&self, side: Side, reason: CloseReason) -> u64 {
        self.closed[side as usize][reason as usize].load(Relaxed)
    }

    /// Open connections.
    pub fn open(&self, side: Side) -> u64 {
        let closed: u64 = CloseReason::ALL.iter().map(|&r| self.closed(side, r)).sum();
        let opened = self.opened[side as usize].load(Relaxed);
        opened.saturating_sub(closed) // the two are not read at the same moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_its_own_name_and_number() {
        let names: HashSet<_> = CloseReason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), CloseReason::ALL.len());
        for (number, reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
        }
    }

    #[test]
    fn open_connections_are_those_opened_and_not_closed() {
        let metrics = WorkerMetrics::default();
        for _ in 0..3 {
            metrics.connection_opened(Side::Downstream);
        }
        metrics.connection_closed(Side::Downstream, CloseReason::Pings);
        metrics.connection_closed(Side::Downstream, CloseReason::Idle);
        assert_eq!(metrics.open(Side::Downstream), 1);
        assert_eq!(metrics.open(Side::Upstream), 0);
        assert_eq!(metrics.closed(Side::Downstream, CloseReason::Pings), 1);
        assert_eq!(metrics.closed(Side::Upstream, CloseReason::Pings), 0);
    }
}
