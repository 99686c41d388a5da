//! Connections that come and go, as metrics count them.

use std::sync::Arc;

use crate::http2::Fault;
use crate::net;
use crate::telemetry::{Closed, Side, WorkerMetrics};
use crate::upstream::Observer;

/// Counts the connections to backends.
pub struct Upstream(pub Arc<WorkerMetrics>);

impl Observer for Upstream {
    fn opened(&self) {
        self.0.connection_opened(Side::Upstream);
    }

    fn closed(&self, why: net::Closed) {
        self.0.connection_closed(Side::Upstream, reason(why));
    }
}

/// The label of the reason.
pub fn reason(why: net::Closed) -> Closed {
    match why {
        net::Closed::Peer => Closed::PeerClosed,
        net::Closed::Io => Closed::Io,
        net::Closed::Handshake => Closed::Handshake,
        net::Closed::PrefaceTimeout => Closed::PrefaceTimeout,
        net::Closed::FrameTimeout => Closed::FrameTimeout,
        net::Closed::WriteStall => Closed::WriteStall,
        net::Closed::Idle => Closed::Idle,
        net::Closed::MaxAge => Closed::MaxAge,
        net::Closed::Drain => Closed::Drain,
        net::Closed::Fault(fault) => match fault {
            Fault::Protocol | Fault::FrameSize | Fault::StreamClosed => Closed::Protocol,
            Fault::FlowControl => Closed::FlowControl,
            Fault::Compression => Closed::Compression,
            Fault::Headers => Closed::Headers,
            Fault::Continuation => Closed::Continuation,
            Fault::Resets => Closed::Resets,
            Fault::PrematureResets => Closed::PrematureResets,
            Fault::Errors => Closed::Errors,
            Fault::Pings => Closed::Pings,
            Fault::Settings => Closed::Settings,
            Fault::IdleFrames => Closed::IdleFrames,
            Fault::WindowUpdates => Closed::WindowUpdates,
            Fault::EmptyData => Closed::EmptyData,
            Fault::Overhead => Closed::Overhead,
        },
    }
}
