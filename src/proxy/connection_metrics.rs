//! Connection metrics: counts opened and closed connections, and logs outages of backends.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::http::Fault;
use crate::model::{Endpoint, Time, stable_hash};
use crate::net::{self, Keepalive};
use crate::service::Snapshot;
use crate::telemetry::{CloseReason, Side, WorkerMetrics};
use crate::upstream::{ConnectError, Observer};

/// Observer of a service's upstream connections.
pub struct UpstreamObserver {
    service: String,
    metrics: Arc<WorkerMetrics>,
    /// Wakes the writer to re-evaluate which backends are down or suspected to be frozen.
    reevaluate_signal: Arc<Notify>,
}

impl UpstreamObserver {
    pub fn new(snapshot: &Snapshot, metrics: &Arc<WorkerMetrics>) -> UpstreamObserver {
        let service = snapshot.spec.name.clone();
        let reevaluate_signal = Arc::clone(&snapshot.reevaluate_signal);
        UpstreamObserver { service, metrics: Arc::clone(metrics), reevaluate_signal }
    }
}

impl Observer for UpstreamObserver {
    fn opened(&self) {
        self.metrics.connection_opened(Side::Upstream);
    }

    fn closed(&self, why: net::Closed) {
        self.metrics.connection_closed(Side::Upstream, close_reason(why));
    }

    fn connected(&self, endpoint: &Endpoint, now: Time) {
        if endpoint.outage().mark_up(now) {
            self.reevaluate_signal.notify_one();
        }
        if endpoint.outage().note_success() {
            let (service, backend) = (&self.service, endpoint.address());
            tracing::info!(service, backend, "the backend can be reached again");
        }
    }

    fn lost(&self, endpoint: &Endpoint, now: Time) {
        if endpoint.outage().mark_down("connection lost", now) {
            self.reevaluate_signal.notify_one();
        }
    }

    fn failed(&self, endpoint: &Endpoint, error: &ConnectError, now: Time) {
        let outage = endpoint.outage();
        let is_news = outage.note_failure(cause_hash(error), now);
        if is_news {
            let (service, backend) = (&self.service, endpoint.address());
            tracing::warn!(service, backend, %error, "the backend cannot be reached");
        }
        if error.is_ours() || endpoint.connected() > 0 || (outage.is_down() && !is_news) {
            return;
        }
        let why = format!("unreachable: {error}");
        if !outage.mark_down(&why, now) {
            outage.update_reason(&why);
        }
        self.reevaluate_signal.notify_one();
    }

    fn suspicion_changed(&self) {
        self.reevaluate_signal.notify_one();
    }

    fn slowed(&self, endpoint: &Endpoint, keepalive: Keepalive) {
        let (service, backend) = (&self.service, endpoint.address());
        let interval = keepalive.interval.as_secs();
        tracing::warn!(
            service,
            backend,
            interval,
            "the backend counts too many PINGs: it gets half as many"
        );
    }
}

/// Hash of an error's text without free-standing numbers, which are times.
fn cause_hash(error: &ConnectError) -> u32 {
    let text = error.to_string();
    let is_number = |word: &&str| {
        let digits = word.trim_matches(|c: char| c.is_ascii_punctuation());
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let words: Vec<_> = text.split(' ').filter(|word| !is_number(word)).collect();
    stable_hash(words.join(" ").as_bytes(), 0) as u32 // 32 bits suffice
}

/// The metric label of a close reason.
pub fn close_reason(why: net::Closed) -> CloseReason {
    match why {
        net::Closed::Peer => CloseReason::PeerClosed,
        net::Closed::Io => CloseReason::Io,
        net::Closed::Handshake => CloseReason::Handshake,
        net::Closed::PrefaceTimeout => CloseReason::PrefaceTimeout,
        net::Closed::FrameTimeout => CloseReason::FrameTimeout,
        net::Closed::WriteStall => CloseReason::WriteStall,
        net::Closed::Keepalive => CloseReason::Keepalive,
        net::Closed::Idle => CloseReason::Idle,
        net::Closed::MaxAge => CloseReason::MaxAge,
        net::Closed::Cancelled => CloseReason::Cancelled,
        net::Closed::Drain => CloseReason::Drain,
        net::Closed::Fault(fault) => match fault {
            Fault::Protocol | Fault::FrameSize | Fault::StreamClosed => CloseReason::Protocol,
            Fault::FlowControl => CloseReason::FlowControl,
            Fault::Compression => CloseReason::Compression,
            Fault::Headers => CloseReason::Headers,
            Fault::Continuation => CloseReason::Continuation,
            Fault::Resets => CloseReason::Resets,
            Fault::PrematureResets => CloseReason::PrematureResets,
            Fault::Errors => CloseReason::Errors,
            Fault::Pings => CloseReason::Pings,
            Fault::Settings => CloseReason::Settings,
            Fault::IdleFrames => CloseReason::IdleFrames,
            Fault::WindowUpdates => CloseReason::WindowUpdates,
            Fault::EmptyData => CloseReason::EmptyData,
            Fault::Overhead => CloseReason::Overhead,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_differ_in_all_but_times() {
        let tls = |text: &str| cause_hash(&ConnectError::Tls(std::io::Error::other(text)));
        let name = |name: &str| tls(&format!("certificate not valid for name \"{name}\""));
        assert_ne!(name("wrong0.example"), name("wrong4.example"));
        assert_ne!(name("10.0.0.1"), name("10.0.0.2"));
        let expired = |at: u32, since: u32| {
            tls(&format!(
                "expired: verification time {at} (UNIX), not valid after 9 ({since} seconds ago)"
            ))
        };
        assert_eq!(expired(1_795_860_000, 86), expired(1_795_860_001, 87));
    }
}
