//! Classifies the result of an attempt, before any of it was sent to the client: commit, retry or
//! fail. Pure logic.

use super::super::failure::Failure;
use super::super::fields;
use super::grpc_code;
use super::start::{AttemptError, Response};
use crate::model::{Code, GrpcCode};
use crate::route::RetryOn;

/// The start of a response, or why there is none.
pub type Start = Result<Response, AttemptError>;

/// What to do with the result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send the response to the client, or the failure.
    Pass,
    /// Send the request again, if that is possible: this failure shows that no backend can have
    /// processed it.
    Unprocessed(Failure),
    /// Send the request to a backend that may implement the method, as this one does not.
    Unimplemented,
    /// Send the request again, if that is possible: the route retries such failures.
    Retry(RetryOn),
}

/// Classifies the result of an attempt at a route that retries on these failures.
pub fn classify(start: &Start, grpc: bool, on: &[RetryOn]) -> Verdict {
    match start {
        Err(AttemptError::Failed(failure)) if failure.attempt_outcome().may_be_sent_again() => {
            Verdict::Unprocessed(*failure)
        }
        Ok(response) if grpc && response.is_unimplemented() => Verdict::Unimplemented,
        _ if on.is_empty() => Verdict::Pass,
        _ => retried(start, grpc, on).unwrap_or(Verdict::Pass),
    }
}

/// The failure, if it is one of these.
fn retried(start: &Start, grpc: bool, on: &[RetryOn]) -> Option<Verdict> {
    let failures = match start {
        Ok(response) if grpc => match fields::status(&response.head) {
            200 => [response.code().map(RetryOn::Grpc), None],
            // Of a proxy before the backend; gRPC's clients take these for UNAVAILABLE.
            status @ (429 | 502..=504) => {
                [Some(RetryOn::Http(status)), Some(RetryOn::Grpc(GrpcCode::Unavailable))]
            }
            status => [Some(RetryOn::Http(status)), None],
        },
        Ok(response) => [Some(RetryOn::Http(fields::status(&response.head))), None],
        Err(AttemptError::Reset(_)) => [Some(RetryOn::Reset), None],
        Err(AttemptError::Failed(failure)) => return retried_failure(*failure, grpc, on),
        Err(AttemptError::ClientGone) => [None, None],
    };
    failures.into_iter().flatten().find(|failure| on.contains(failure)).map(Verdict::Retry)
}

/// A failure that the gateway found, if it is one of these: by its kind, or by what the gateway
/// itself would answer.
pub fn retried_failure(failure: Failure, grpc: bool, on: &[RetryOn]) -> Option<Verdict> {
    let kind = match failure {
        Failure::Connect => Some(RetryOn::Connect),
        Failure::BackendLost | Failure::BackendRefused => Some(RetryOn::Reset),
        Failure::AttemptTimeout => Some(RetryOn::Timeout),
        Failure::Overloaded => None,
        _ => return None,
    };
    let answer = match failure.code(grpc) {
        Code::Grpc(code) => RetryOn::Grpc(code),
        Code::Http(status) => RetryOn::Http(status),
    };
    let failures = kind.into_iter().chain([answer]);
    failures.into_iter().find(|failure| on.contains(failure)).map(Verdict::Retry)
}

impl Response {
    /// Whether it is UNIMPLEMENTED and nothing else (trailers-only).
    fn is_unimplemented(&self) -> bool {
        self.end && grpc_code(&self.head) == Code::Grpc(GrpcCode::Unimplemented)
    }

    /// The gRPC status, if it came without any message.
    fn code(&self) -> Option<GrpcCode> {
        let code = match &self.trailers {
            Some(trailers) => trailers.code,
            None if self.end => grpc_code(&self.head),
            None => return None,
        };
        match code {
            Code::Grpc(code) => Some(code),
            Code::Http(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::start::Trailers;
    use super::*;
    use crate::http::{ErrorCode, Headers, Name};
    use crate::route::RetryPolicy;

    fn fields(name: Name, value: &[u8]) -> Headers {
        let mut head = Headers::new();
        if name != Name::Status {
            head.add(Name::Status, b"200");
        }
        head.add(name, value);
        head
    }

    /// Trailers-only, or a head with more to come.
    fn answer(status: &[u8], end: bool) -> Start {
        Ok(Response { head: fields(Name::GrpcStatus, status), end, trailers: None })
    }

    /// Without a policy.
    fn verdict(start: &Start, grpc: bool) -> Verdict {
        classify(start, grpc, &[])
    }

    #[test]
    fn a_backend_without_the_method_says_that_and_nothing_else() {
        assert_eq!(verdict(&answer(b"12", true), true), Verdict::Unimplemented);
        assert_eq!(verdict(&answer(b"12", false), true), Verdict::Pass);
        assert_eq!(verdict(&answer(b"12", true), false), Verdict::Pass);
        assert_eq!(verdict(&answer(b"13", true), true), Verdict::Pass);
    }

    #[test]
    fn only_what_no_backend_can_have_begun_is_sent_again_without_a_policy() {
        for failure in [Failure::Connect, Failure::Overloaded, Failure::BackendRefused] {
            assert_eq!(verdict(&Err(failure.into()), true), Verdict::Unprocessed(failure));
        }
        for failure in [
            Failure::TooLargeForBackend,
            Failure::GrpcToHttp1,
            Failure::BackendLost,
            Failure::BackendMalformed,
            Failure::AttemptTimeout,
            Failure::Idle,
            Failure::Expired(super::super::Limit::Caller),
            Failure::Expired(super::super::Limit::Route),
            Failure::CutOff,
            Failure::Drained,
        ] {
            assert_eq!(verdict(&Err(failure.into()), true), Verdict::Pass, "{failure:?}");
        }
        for error in [AttemptError::ClientGone, AttemptError::Reset(ErrorCode::INTERNAL_ERROR)] {
            assert_eq!(verdict(&Err(error), true), Verdict::Pass);
        }
        assert_eq!(verdict(&answer(b"14", true), true), Verdict::Pass);
    }

    #[test]
    fn a_policy_retries_what_it_names() {
        let unavailable = Verdict::Retry(RetryOn::Grpc(GrpcCode::Unavailable));
        let with = |start: &Start, grpc| classify(start, grpc, &RetryPolicy::USUALLY_ON);
        assert_eq!(with(&answer(b"14", true), true), unavailable);
        assert_eq!(with(&answer(b"14", false), true), Verdict::Pass, "a message may follow");
        assert_eq!(with(&answer(b"13", true), true), Verdict::Pass);
        let head = fields(Name::Status, b"200");
        let code = Code::Grpc(GrpcCode::Unavailable);
        let trailers = Some(Box::new(Trailers { code, pushback: None }));
        assert_eq!(with(&Ok(Response { head, end: false, trailers }), true), unavailable);
        let reset = Verdict::Retry(RetryOn::Reset);
        assert_eq!(with(&Err(Failure::BackendLost.into()), true), reset);
        assert_eq!(with(&Err(AttemptError::Reset(ErrorCode::INTERNAL_ERROR)), true), reset);
        assert_eq!(with(&Err(Failure::AttemptTimeout.into()), true), unavailable);
        assert_eq!(with(&Err(Failure::Idle.into()), true), Verdict::Pass);
        let by_status = [RetryOn::Http(502)];
        let lost = classify(&Err(Failure::BackendLost.into()), false, &by_status);
        assert_eq!(lost, Verdict::Retry(RetryOn::Http(502)), "as the gateway itself answers");
        assert_eq!(with(&Err(AttemptError::ClientGone), true), Verdict::Pass);
    }

    #[test]
    fn statuses_count_for_grpc_too() {
        let on = [RetryOn::Http(503)];
        let start: Start =
            Ok(Response { head: fields(Name::Status, b"503"), end: false, trailers: None });
        assert_eq!(classify(&start, false, &on), Verdict::Retry(RetryOn::Http(503)));
        assert_eq!(classify(&start, true, &on), Verdict::Retry(RetryOn::Http(503)));
        let unavailable = Verdict::Retry(RetryOn::Grpc(GrpcCode::Unavailable));
        assert_eq!(classify(&start, true, &RetryPolicy::USUALLY_ON), unavailable);
    }
}
