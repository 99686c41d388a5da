//! Deadlines of an exchange (`grpc-timeout`, the route's timeout), and whether the backend is at
//! fault when one expires.

use super::super::failure::Failure;
use super::super::method_metrics::quantile;
use super::stream_detector::SECOND_MESSAGE;
use super::{Attempt, Destination, Exchange, Limit, Outcome, Timeouts};
use crate::grpc::parse_timeout;
use crate::http::Name;
use crate::model::{AttemptFailure, AttemptOutcome, TimeoutPhase};
use crate::net::SILENCE_TIMEOUT;
use crate::stats::HistogramCounts;
use crate::upstream::Version;

impl Exchange {
    /// Sets the deadline by `grpc-timeout` and the route. Fails if it has already passed.
    pub(super) fn set_deadline(&self, destination: &Destination) -> Result<(), Failure> {
        let head = self.head.borrow();
        let field = head.get(Name::GrpcTimeout).filter(|_| self.grpc);
        let mut timeouts = self.timeouts.borrow_mut();
        if let Some(field) = field {
            let waits = parse_timeout(field).ok_or(Failure::BadTimeout)?;
            timeouts.end_by(self.started + waits, Limit::Caller);
        }
        if let Some(limit) = destination.time_limit(self.grpc, &head) {
            timeouts.end_by(self.started + limit, Limit::Route);
        }
        match timeouts.expired(self.proxy.worker.now()) {
            Some(limit) => Err(Failure::Expired(limit)),
            None => Ok(()),
        }
    }

    /// The timeouts of the request's mirrored copy.
    pub fn mirror_timeouts(&self) -> Timeouts {
        self.timeouts.borrow().for_mirror()
    }

    /// The outcome of a deadline that expired during `attempt`.
    pub(super) fn expired(&self, attempt: &Attempt, limit: Limit) -> Outcome {
        let failure = Failure::Expired(limit);
        let at_fault = self.is_backends_fault(attempt, limit);
        if limit == Limit::Caller {
            self.front.conn().note_cancelled_request();
            if !at_fault {
                attempt.on_abandoned(self.proxy.worker.now());
            }
        }
        let messages = attempt.back().map_or(0, |back| back.messages());
        let expired = match limit {
            _ if !attempt.has_head() => TimeoutPhase::Head,
            Limit::Route if messages >= SECOND_MESSAGE => TimeoutPhase::Stream,
            Limit::Caller | Limit::Route => TimeoutPhase::Body,
        };
        let attempt_outcome = AttemptOutcome::Failed(if at_fault {
            AttemptFailure::Silent
        } else {
            AttemptFailure::Expired
        });
        Outcome { attempt_outcome, expired: Some(expired), ..Outcome::failed(failure, self.grpc) }
    }

    /// Whether an expired deadline is the backend's fault. It is not while the client has yet to
    /// send its request or to read the response, nor on a stream. A caller's deadline may be
    /// shorter than any backend needs, so the backend must also have been silent for longer than
    /// the method's usual time.
    fn is_backends_fault(&self, attempt: &Attempt, limit: Limit) -> bool {
        if !self.awaits_backend(attempt) {
            return false;
        }
        let silent = || attempt.silence(self.proxy.worker.now());
        match limit {
            Limit::Route => true,
            Limit::Caller => attempt.p99().is_some_and(|usual| silent() > usual),
        }
    }

    /// Whether the backend has been silent for so much longer than its method usually takes that it may
    /// be frozen. Without metrics per method it counts as overdue if it can be sent a PING; never if no
    /// other backend could take its place.
    pub(super) fn is_overdue(&self, attempt: &Attempt) -> bool {
        let silence = attempt.silence(self.proxy.worker.now());
        let service = self.destination.get().and_then(|to| to.worker_service());
        let others = || service.is_some_and(|it| it.view().snapshot.set.len() > 1);
        if silence < SILENCE_TIMEOUT || !self.awaits_backend(attempt) || !others() {
            return false;
        }
        match attempt.pool().version() {
            Version::Http2 => attempt.p99().is_none_or(|usual| silence > usual * 2),
            Version::Http1 => {
                let mut durations = HistogramCounts::default();
                attempt.pool().endpoint().add_durations_to(&mut durations);
                quantile(&durations, 0.99).is_some_and(|usual| silence > usual * 2)
            }
        }
    }

    /// Whether the exchange waits for the backend, not for the client; never on a stream.
    fn awaits_backend(&self, attempt: &Attempt) -> bool {
        self.is_request_sent() && !attempt.is_stream()
    }

    /// Whether the whole request was received, and nothing is queued for the client.
    pub(super) fn is_request_sent(&self) -> bool {
        (self.end || self.front.is_whole()) && self.front.unsent() == 0
    }
}
