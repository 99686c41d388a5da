//! When the time of an exchange is up: as its caller says, and its route. And whose fault that is.

use super::super::reject::Failure;
use super::stream_watch::SECOND_MESSAGE;
use super::{Attempt, Destination, Exchange, Limit, Outcome, Timeouts};
use crate::grpc::parse_timeout;
use crate::http::Name;
use crate::model::{Break, Ending, TimeoutPhase};

impl Exchange {
    /// Notes when its time is up. What comes too late goes no further.
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

    /// What a copy of it may take.
    pub fn copied_timeouts(&self) -> Timeouts {
        self.timeouts.borrow().of_copy()
    }

    /// Its time was up at the backend of `attempt`.
    pub(super) fn expired(&self, attempt: &Attempt, limit: Limit) -> Outcome {
        let failure = Failure::Expired(limit);
        let at_fault = self.is_backends_fault(attempt, limit);
        if limit == Limit::Caller {
            self.front.conn().note_given_up();
            if !at_fault {
                attempt.on_patience_lost(self.proxy.worker.now());
            }
        }
        let messages = attempt.back().map_or(0, |back| back.messages());
        let expired = match limit {
            _ if !attempt.has_head() => TimeoutPhase::Head,
            Limit::Route if messages >= SECOND_MESSAGE => TimeoutPhase::Stream,
            Limit::Caller | Limit::Route => TimeoutPhase::Body,
        };
        let ending = Ending::Broken(if at_fault { Break::Silent } else { Break::Expired });
        Outcome { ending, expired: Some(expired), ..Outcome::failed(failure, self.grpc) }
    }

    /// Whether the backend was too slow. Where the client has yet to send, or to take, something it
    /// may be the client that was; a stream owes nothing; and a caller may wait for less than anybody
    /// could do it in: what the method usually needs, it has to wait.
    fn is_backends_fault(&self, attempt: &Attempt, limit: Limit) -> bool {
        let waited_for = (self.end || self.front.is_whole()) && self.front.unsent() == 0;
        if attempt.is_stream() || !waited_for {
            return false;
        }
        let silent = || attempt.silence(self.proxy.worker.now());
        match limit {
            Limit::Route => true,
            Limit::Caller => attempt.usual_time().is_some_and(|usual| silent() > usual),
        }
    }
}
