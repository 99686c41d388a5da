//! What the start of a response, or its failing to come, leads to.

use super::super::reject::Failure;
use super::start::{Broken, Response};

/// What is done about it.
pub enum Verdict {
    /// The client gets this response.
    Commit(Response),
    /// Another backend may be asked, as none can have begun the request.
    Retry(Failure),
    /// It is over.
    Fail(Broken),
}

/// Judges what an attempt has brought, before the client has seen any of it.
pub fn classify(start: Result<Response, Broken>) -> Verdict {
    match start {
        Ok(response) => Verdict::Commit(response),
        Err(Broken::Failed(failure)) if failure.ending().may_be_sent_again() => {
            Verdict::Retry(failure)
        }
        Err(broken) => Verdict::Fail(broken),
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
        for broken in [Broken::ClientGone, Broken::Reset(ErrorCode::INTERNAL_ERROR)] {
            assert!(matches!(classify(Err(broken)), Verdict::Fail(_)));
        }
        let response = Response { head: Headers::new(), end: true };
        assert!(matches!(classify(Ok(response)), Verdict::Commit(_)));
    }
}
