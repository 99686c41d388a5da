//! Exchanges that end without a backend's response, or without all of it.

use super::super::reject::{Failure, truncate};
use super::commit::reply;
use super::start::Broken;
use super::{Attempt, Exchange, Outcome};
use crate::http::ErrorCode;

impl Exchange {
    /// Answers it in the place of a backend: none had it.
    pub(super) fn refuse(&self, failure: Failure) -> Outcome {
        reply(&self.front, self.asked, failure);
        Outcome::failed(failure, self.grpc)
    }

    /// Ends it after an attempt that has brought no response which the client could be given.
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

    /// Ends it in the midst of the response.
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

    /// The client gave up what a backend has.
    fn cancelled(&self, attempt: &Attempt) -> Outcome {
        self.front.conn().note_given_up();
        attempt.cancel();
        Outcome::cancelled(self.grpc)
    }

    /// The backend reset the stream: so is the client's, with the same code, from which its
    /// library concludes what it would have concluded from the backend's.
    fn pass_reset(&self, code: ErrorCode) -> Outcome {
        // Some libraries take NO_ERROR for the regular end of a body; gRPC's do not.
        let clean = code == ErrorCode::NO_ERROR && !self.grpc;
        self.front.reset(if clean { ErrorCode::INTERNAL_ERROR } else { code });
        Outcome::reset(code, self.grpc)
    }
}
