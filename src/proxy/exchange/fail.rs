//! Ends exchanges that have no response from a backend, or an incomplete one.

use super::super::failure::Failure;
use super::super::local_reply::truncate;
use super::commit::reply;
use super::start::AttemptError;
use super::{Attempt, Exchange, Outcome};
use crate::http::ErrorCode;

impl Exchange {
    /// Sends a local reply; no backend had the request.
    pub(super) fn local_reply(&self, failure: Failure) -> Outcome {
        reply(&self.front, self.reply_kind, failure);
        Outcome::failed(failure, self.grpc)
    }

    /// Ends the exchange before any backend had the request.
    pub(super) fn give_up(&self, error: AttemptError) -> Outcome {
        match error {
            AttemptError::Failed(failure) => self.local_reply(failure),
            AttemptError::ClientGone | AttemptError::Reset(_) => Outcome::cancelled(self.grpc),
        }
    }

    /// Ends the exchange before commit: the attempt gave no response that could be sent to the client.
    pub(super) fn fail(&self, attempt: &Attempt, error: AttemptError) -> Outcome {
        match error {
            AttemptError::Reset(code) => self.forward_reset(code),
            AttemptError::ClientGone if !attempt.is_sent() => Outcome::cancelled(self.grpc),
            AttemptError::ClientGone => {
                attempt.on_abandoned(self.proxy.worker.now());
                self.cancelled(attempt)
            }
            AttemptError::Failed(failure) if !attempt.is_sent() => {
                self.record_failed(attempt, failure);
                self.local_reply(failure)
            }
            AttemptError::Failed(failure) => {
                let outcome = self.failed(attempt, failure);
                attempt.cancel();
                reply(&self.front, self.reply_kind, failure);
                outcome
            }
        }
    }

    /// Aborts the exchange after commit, in the middle of the response.
    pub(super) fn abort(&self, attempt: &Attempt, error: AttemptError) -> Outcome {
        match error {
            AttemptError::Reset(code) => self.forward_reset(code),
            AttemptError::ClientGone => self.cancelled(attempt),
            AttemptError::Failed(failure) => {
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
        self.front.conn().note_cancelled_request();
        attempt.cancel();
        Outcome::cancelled(self.grpc)
    }

    /// Forwards the backend's RST_STREAM with the same code, so that the client's library maps it
    /// as it would without a gateway.
    fn forward_reset(&self, code: ErrorCode) -> Outcome {
        // Some HTTP libraries mistake NO_ERROR for the regular end of a body; gRPC's do not.
        let clean = code == ErrorCode::NO_ERROR && !self.grpc;
        self.front.reset(if clean { ErrorCode::INTERNAL_ERROR } else { code });
        Outcome::reset(code, self.grpc)
    }
}
