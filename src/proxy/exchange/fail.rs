//! Ends exchanges that have no response from a backend, or an incomplete one.

use super::super::reject::{Failure, truncate};
use super::commit::reply;
use super::start::Broken;
use super::{Attempt, Exchange, Outcome};
use crate::http::ErrorCode;

impl Exchange {
    /// Sends a local reply; no backend had the request.
    pub(super) fn refuse(&self, failure: Failure) -> Outcome {
        reply(&self.front, self.asked, failure);
        Outcome::failed(failure, self.grpc)
    }

    /// Ends the exchange before commit: the attempt brought no response that the client could be
    /// sent.
    pub(super) fn fail(&self, attempt: &Attempt, broken: Broken) -> Outcome {
        match broken {
            Broken::Reset(code) => self.pass_reset(code),
            Broken::ClientGone if !attempt.is_sent() => Outcome::cancelled(self.grpc),
            Broken::ClientGone => {
                attempt.on_patience_lost(self.proxy.worker.now());
                self.cancelled(attempt)
            }
            Broken::Failed(failure) if !attempt.is_sent() => {
                self.record_failed(attempt, failure);
                self.refuse(failure)
            }
            Broken::Failed(failure) => {
                let outcome = self.failed(attempt, failure);
                attempt.cancel();
                reply(&self.front, self.asked, failure);
                outcome
            }
        }
    }

    /// Aborts the exchange after commit, in the middle of the response.
    pub(super) fn break_off(&self, attempt: &Attempt, broken: Broken) -> Outcome {
        match broken {
            Broken::Reset(code) => self.pass_reset(code),
            Broken::ClientGone => self.cancelled(attempt),
            Broken::Failed(failure) => {
                let outcome = self.failed(attempt, failure);
                attempt.cancel();
                truncate(&self.front, self.grpc, failure);
                outcome
            }
        }
    }

    fn failed(&self, attempt: &Attempt, failure: Failure) -> Outcome {
        match failure {
            Failure::Expired(limit) => self.expired(attempt, limit),
            failure => Outcome::failed(failure, self.grpc),
        }
    }

    /// The client cancelled after the request was sent.
    fn cancelled(&self, attempt: &Attempt) -> Outcome {
        self.front.conn().note_given_up();
        attempt.cancel();
        Outcome::cancelled(self.grpc)
    }

    /// Forwards the backend's RST_STREAM with the same code, so that the client's library maps it
    /// as it would without a gateway.
    fn pass_reset(&self, code: ErrorCode) -> Outcome {
        // Some HTTP libraries take NO_ERROR for the regular end of a body; gRPC's do not.
        let clean = code == ErrorCode::NO_ERROR && !self.grpc;
        self.front.reset(if clean { ErrorCode::INTERNAL_ERROR } else { code });
        Outcome::reset(code, self.grpc)
    }
}
