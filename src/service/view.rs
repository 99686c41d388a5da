//! A service as operators and metrics see it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::history::{History, Since};
use super::{Overridden, Recent, Rejections, ServiceSpec};
use crate::clock::Clock;
use crate::model::{Endpoint, EwmaParams, Time, WindowStats};

/// A service as operators and metrics see it: renewed on every change and once a second.
#[derive(Debug)]
pub struct ServiceView {
    /// How requests are spread and connections are made.
    pub spec: Arc<ServiceSpec>,
    /// The last change; the first revision is 1.
    pub revision: u64,
    /// In the order of the configuration, then those added at run time.
    pub backends: Vec<BackendView>,
    /// What operators want otherwise than the configuration has it.
    pub overrides: Arc<[Overridden]>,
    /// Those removed that still have requests in flight.
    pub leaving: Vec<BackendView>,
    /// Those that have left in the last minutes.
    pub past: Vec<Arc<Endpoint>>,
    /// The last 30 seconds, with what the gateway answered itself.
    pub recent: Recent,
    /// Requests that got no answer of a backend; this goes on by itself.
    pub rejections: Arc<Rejections>,
    /// How the latency estimates are kept.
    pub ewma: EwmaParams,
    pub(super) clock: Clock,
    pub(super) history: History,
}

/// One backend of a service.
#[derive(Clone, Debug)]
pub struct BackendView {
    /// Where the values are read that change with every request.
    pub endpoint: Arc<Endpoint>,
    /// What was asked for.
    pub weight: u32,
    /// Whether an operator took it out.
    pub drained: bool,
    /// The last 30 seconds.
    pub recent: WindowStats,
}

/// Whether a backend gets requests, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    /// It gets requests according to its weight: a connection is established, or the last one has
    /// ended in good order a moment ago.
    Ready,
    /// An operator took it out: it gets no new requests.
    Draining,
    /// No connection to it is established: one is being made, or the last attempt has failed.
    Connecting,
    /// Nobody knows: no connection to it is established, and none has been asked for of late.
    Idle,
}

/// What is known of a backend to which a connection has ended in good order holds for so long:
/// longer than the pause before it is made again.
const MOMENT: Duration = Duration::from_secs(15);

impl BackendView {
    /// The weight that requests are balanced by.
    pub fn effective_weight(&self) -> u32 {
        if self.drained { 0 } else { self.weight }
    }

    /// The state at `now`.
    pub fn state(&self, now: Time) -> BackendState {
        let endpoint = &self.endpoint;
        let left = || endpoint.left().is_some_and(|at| now.since(at) < MOMENT);
        if self.drained {
            BackendState::Draining
        } else if endpoint.connected() > 0 {
            BackendState::Ready
        } else if endpoint.outage().lasts() {
            BackendState::Connecting
        } else if left() {
            BackendState::Ready
        } else if endpoint.connecting() > 0 {
            BackendState::Connecting
        } else {
            BackendState::Idle
        }
    }
}

impl ServiceView {
    /// Before there is a first revision.
    pub(super) fn empty(
        spec: &Arc<ServiceSpec>,
        rejections: &Arc<Rejections>,
        clock: Clock,
    ) -> ServiceView {
        ServiceView {
            spec: Arc::clone(spec),
            revision: 0,
            backends: Vec::new(),
            overrides: Arc::default(),
            leaving: Vec::new(),
            past: Vec::new(),
            recent: Recent::default(),
            rejections: Arc::clone(rejections),
            ewma: spec.balancer.factory.ewma(),
            clock,
            history: History::default(),
        }
    }

    /// The same once all of its backends are gone.
    pub(super) fn departed(&self) -> ServiceView {
        let backends = self.leaving.iter().chain(&self.backends);
        let backends = backends.map(|backend| &backend.endpoint);
        ServiceView {
            revision: self.revision,
            past: self.past.iter().chain(backends).cloned().collect(),
            ..ServiceView::empty(&self.spec, &self.rejections, self.clock)
        }
    }

    /// The time now, at which it is looked at.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// The revisions since which requests can be counted; the newest is the current one.
    pub fn kept_revisions(&self) -> RangeInclusive<u64> {
        self.history.kept()
    }

    /// How the requests of `backend` ended since `revision` began, if that is still known. Of one
    /// that came later all count, and none of those that an earlier one at its address had.
    pub fn since(&self, revision: u64, backend: &BackendView) -> Option<Since> {
        self.history.since(revision, backend)
    }

    /// The latency estimate of `backend`, in seconds.
    pub fn ewma_seconds(&self, backend: &BackendView) -> f64 {
        backend.endpoint.load().ewma_seconds(&self.ewma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_what_is() {
        let endpoint = Arc::new(Endpoint::new("a:1", 1, Time::ZERO));
        let view = |drained| BackendView {
            endpoint: Arc::clone(&endpoint),
            weight: 1,
            drained,
            recent: WindowStats::default(),
        };
        let at = |seconds: u64| view(false).state(Time::from_millis(seconds * 1000));
        assert_eq!(at(0), BackendState::Idle, "nothing is known");
        let connecting = endpoint.count_connecting();
        assert_eq!(at(0), BackendState::Connecting);
        let connected = endpoint.count_connected();
        drop(connecting);
        assert_eq!(at(0), BackendState::Ready);
        assert_eq!(view(true).state(Time::ZERO), BackendState::Draining);

        drop(connected);
        assert_eq!(at(1), BackendState::Idle, "it broke off");
        endpoint.note_left(Time::from_millis(1000));
        assert_eq!(at(15), BackendState::Ready, "it left in good order");
        let _connecting = endpoint.count_connecting();
        assert_eq!(at(15), BackendState::Ready, "and comes again");
        endpoint.outage().begin(7, Time::from_millis(2000));
        assert_eq!(at(2), BackendState::Connecting, "but it does not");
        endpoint.outage().end();
        assert_eq!(at(16), BackendState::Connecting);
    }
}
