//! The outcome of an exchange: one value, from which all metrics, estimates and log lines are
//! derived.

use super::super::failure::Failure;
use crate::http::{ErrorCode, Headers, Name};
use crate::model::{AttemptFailure, AttemptOutcome, Class, Code, GrpcCode, Time, TimeoutPhase};

/// The outcome of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The status as the client sees it, or would have.
    pub code: Code,
    /// How the last attempt ended, for judging the backend.
    pub attempt_outcome: AttemptOutcome,
    /// Why the gateway sent a local reply or aborted the response.
    pub failure: Option<Failure>,
    /// When the answer to a call arrived, if that is a latency sample: for a single message, its
    /// arrival.
    pub answered: Option<Time>,
    /// In which phase its deadline expired, if it did.
    pub expired: Option<TimeoutPhase>,
}

impl Outcome {
    /// The backend's response was complete.
    pub fn answered(code: Code, at: Option<Time>) -> Outcome {
        let attempt_outcome = AttemptOutcome::Answered(code);
        Outcome { code, attempt_outcome, failure: None, answered: at, expired: None }
    }

    /// It failed, before or after the request was sent.
    pub fn failed(failure: Failure, grpc: bool) -> Outcome {
        let (code, attempt_outcome) = (failure.code(grpc), failure.attempt_outcome());
        let expired = matches!(failure, Failure::Expired(_)).then_some(TimeoutPhase::Unsent);
        Outcome { code, attempt_outcome, failure: Some(failure), answered: None, expired }
    }

    /// The client cancelled, before or after the request was sent.
    pub fn cancelled(grpc: bool) -> Outcome {
        let code = if grpc { Code::Grpc(GrpcCode::Cancelled) } else { Code::Http(499) };
        let attempt_outcome = AttemptOutcome::ClientGone;
        Outcome { code, attempt_outcome, failure: None, answered: None, expired: None }
    }

    /// The backend reset its stream.
    pub fn reset(code: ErrorCode, grpc: bool) -> Outcome {
        let attempt_outcome = match code {
            ErrorCode::INTERNAL_ERROR => AttemptOutcome::Failed(AttemptFailure::Crashed),
            _ => AttemptOutcome::Reset,
        };
        let code = if grpc { Code::Grpc(status_of_reset(code)) } else { Code::Http(502) };
        Outcome { code, attempt_outcome, failure: None, answered: None, expired: None }
    }

    /// The route redirected the client with this status.
    pub fn redirected(status: u16) -> Outcome {
        let code = Code::Http(status);
        let attempt_outcome = AttemptOutcome::Answered(code);
        Outcome { code, attempt_outcome, failure: None, answered: None, expired: None }
    }

    /// Success, failure or cancelled, in the client's view.
    pub fn class(&self) -> Class {
        self.code.class()
    }
}

/// The `grpc-status` of trailers, or of a trailers-only head.
pub fn grpc_code(headers: &Headers) -> Code {
    match headers.get(Name::GrpcStatus) {
        Some(value) => Code::Grpc(GrpcCode::parse(value)),
        None => Code::Grpc(GrpcCode::Unknown),
    }
}

/// The gRPC status for an RST_STREAM code (gRPC over HTTP/2, "Errors").
fn status_of_reset(code: ErrorCode) -> GrpcCode {
    match code {
        ErrorCode::REFUSED_STREAM => GrpcCode::Unavailable,
        ErrorCode::CANCEL => GrpcCode::Cancelled,
        ErrorCode::ENHANCE_YOUR_CALM => GrpcCode::ResourceExhausted,
        ErrorCode::INADEQUATE_SECURITY => GrpcCode::PermissionDenied,
        _ => GrpcCode::Internal,
    }
}
