//! Classifies the result of an attempt: commit, retry or fail.

use super::super::failure::Failure;
use super::grpc_code;
use super::start::{AttemptError, Response};
use crate::model::{Code, GrpcCode};

/// What to do with the result of an attempt.
pub enum Verdict {
    /// Send this response to the client.
    Commit(Response),
    /// This backend does not implement the method: retry at one that may, or else commit.
    Unimplemented(Response),
    /// Retry at another backend: none can have processed the request.
    Retry(Failure),
    /// Fail the exchange.
    Fail(AttemptError),
}

/// Classifies the result of an attempt, before any of it was sent to the client.
pub fn classify(start: Result<Response, AttemptError>, grpc: bool) -> Verdict {
    match start {
        Ok(response) if grpc && response.is_unimplemented() => Verdict::Unimplemented(response),
        Ok(response) => Verdict::Commit(response),
        Err(AttemptError::Failed(failure)) if failure.attempt_outcome().may_be_sent_again() => {
            Verdict::Retry(failure)
        }
        Err(error) => Verdict::Fail(error),
    }
}

impl Response {
    /// Whether it is UNIMPLEMENTED and nothing else (trailers-only).
    fn is_unimplemented(&self) -> bool {
        self.end && grpc_code(&self.head) == Code::Grpc(GrpcCode::Unimplemented)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{ErrorCode, Headers, Name};

    fn answer(status: &[u8], end: bool) -> Result<Response, AttemptError> {
        let mut head = Headers::new();
        head.add(Name::GrpcStatus, status);
        Ok(Response { head, end })
    }

    #[test]
    fn a_backend_without_the_method_says_that_and_nothing_else() {
        assert!(matches!(classify(answer(b"12", true), true), Verdict::Unimplemented(_)));
        assert!(matches!(classify(answer(b"12", false), true), Verdict::Commit(_)));
        assert!(matches!(classify(answer(b"12", true), false), Verdict::Commit(_)));
        assert!(matches!(classify(answer(b"13", true), true), Verdict::Commit(_)));
    }

    #[test]
    fn only_what_no_backend_can_have_begun_is_sent_again() {
        for failure in [Failure::Connect, Failure::Overloaded, Failure::BackendRefused] {
            assert!(
                matches!(classify(Err(failure.into()), true), Verdict::Retry(why) if why == failure)
            );
        }
        for failure in [
            Failure::TooLargeForBackend,
            Failure::GrpcToHttp1,
            Failure::BackendLost,
            Failure::BackendMalformed,
            Failure::ResponseTooLarge,
            Failure::Idle,
            Failure::ShuttingDown,
            Failure::CutOff,
            Failure::Drained,
        ] {
            assert!(matches!(classify(Err(failure.into()), true), Verdict::Fail(_)), "{failure:?}");
        }
        for error in [AttemptError::ClientGone, AttemptError::Reset(ErrorCode::INTERNAL_ERROR)] {
            assert!(matches!(classify(Err(error), true), Verdict::Fail(_)));
        }
        let response = Response { head: Headers::new(), end: true };
        assert!(matches!(classify(Ok(response), true), Verdict::Commit(_)));
    }
}
