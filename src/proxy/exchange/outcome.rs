//! How an exchange ended: one value, of which everything that is counted, learnt and logged is
//! made.

use super::super::reject::Failure;
use crate::http::{ErrorCode, Headers, Name};
use crate::model::{Break, Class, Code, Ending, GrpcCode, Time, TimeoutPhase};

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// What the client learns, or would.
    pub code: Code,
    /// How it ended at the backend, or before one had it.
    pub ending: Ending,
    /// Why the gateway has answered itself, or broken the response off.
    pub failure: Option<Failure>,
    /// When the answer to a call was there, if that says how fast the backend is: for a single
    /// message its arrival.
    pub answered: Option<Time>,
    /// How far it had come when its time was up, if it was.
    pub expired: Option<TimeoutPhase>,
}

impl Outcome {
    /// The backend's response was whole.
    pub fn answered(code: Code, at: Option<Time>) -> Outcome {
        let ending = Ending::Answered(code);
        Outcome { code, ending, failure: None, answered: at, expired: None }
    }

    /// It failed, at a backend or before one had it.
    pub fn failed(failure: Failure, grpc: bool) -> Outcome {
        let (code, ending) = (failure.code(grpc), failure.ending());
        let expired = matches!(failure, Failure::Expired(_)).then_some(TimeoutPhase::Unsent);
        Outcome { code, ending, failure: Some(failure), answered: None, expired }
    }

    /// The client gave up, while a backend had it or before.
    pub fn cancelled(grpc: bool) -> Outcome {
        let code = if grpc { Code::Grpc(GrpcCode::Cancelled) } else { Code::Http(499) };
        let ending = Ending::ClientGone;
        Outcome { code, ending, failure: None, answered: None, expired: None }
    }

    /// The backend has reset its stream.
    pub fn reset(code: ErrorCode, grpc: bool) -> Outcome {
        let ending = match code {
            ErrorCode::INTERNAL_ERROR => Ending::Broken(Break::Crashed),
            _ => Ending::Reset,
        };
        let code = if grpc { Code::Grpc(status_of_reset(code)) } else { Code::Http(502) };
        Outcome { code, ending, failure: None, answered: None, expired: None }
    }

    /// Its route has sent the client elsewhere, with this status.
    pub fn redirected(status: u16) -> Outcome {
        let code = Code::Http(status);
        let ending = Ending::Answered(code);
        Outcome { code, ending, failure: None, answered: None, expired: None }
    }

    /// Whether it was a success for the client.
    pub fn class(&self) -> Class {
        self.code.class()
    }
}

/// The status in a trailer section, or in a head that is one.
pub fn grpc_code(headers: &Headers) -> Code {
    match headers.get(Name::GrpcStatus) {
        Some(value) => Code::Grpc(GrpcCode::parse(value)),
        None => Code::Grpc(GrpcCode::Unknown),
    }
}

/// What gRPC's libraries make of a reset (gRPC over HTTP/2, "Errors").
fn status_of_reset(code: ErrorCode) -> GrpcCode {
    match code {
        ErrorCode::REFUSED_STREAM => GrpcCode::Unavailable,
        ErrorCode::CANCEL => GrpcCode::Cancelled,
        ErrorCode::ENHANCE_YOUR_CALM => GrpcCode::ResourceExhausted,
        ErrorCode::INADEQUATE_SECURITY => GrpcCode::PermissionDenied,
        _ => GrpcCode::Internal,
    }
}
