//! Classifies the result of an attempt: commit, retry or fail.

use super::super::failure::Failure;
use super::start::{AttemptError, Response};

/// What to do with the result of an attempt.
pub enum Verdict {
    /// Send this response to the client.
    Commit(Response),
    /// Retry at another backend: none can have processed the request.
    Retry(Failure),
    /// Fail the exchange.
    Fail(AttemptError),
}

/// Classifies the result of an attempt, before any of it was sent to the client.
pub fn classify(start: Result<Response, AttemptError>) -> Verdict {
    match start {
        Ok(response) => Verdict::Commit(response),
        Err(AttemptError::Failed(failure)) if failure.attempt_outcome().may_be_sent_again() => {
            Verdict::Retry(failure)
        }
        Err(error) => Verdict::Fail(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{ErrorCode, Headers};

    #[test]
    fn only_what_no_backend_can_have_begun_is_sent_again() {
        for failure in [Failure::Connect, Failure::Overloaded, Failure::BackendRefused] {
            assert!(matches!(classify(Err(failure.into())), Verdict::Retry(why) if why == failure));
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
            assert!(matches!(classify(Err(failure.into())), Verdict::Fail(_)), "{failure:?}");
        }
        for error in [AttemptError::ClientGone, AttemptError::Reset(ErrorCode::INTERNAL_ERROR)] {
            assert!(matches!(classify(Err(error)), Verdict::Fail(_)));
        }
        let response = Response { head: Headers::new(), end: true };
        assert!(matches!(classify(Ok(response)), Verdict::Commit(_)));
    }
}
