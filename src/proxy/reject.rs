//! The one place where what went wrong becomes what the client is told.

use super::exchange::Limit;
use super::fields;
use crate::http::{ErrorCode, Headers, Name, SendError};
use crate::model::{Break, Code, Ending, GrpcCode, Rejected};
use crate::net::{Conn, Stream};
use crate::upstream::OpenError;

/// Why a request has no response of a backend, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No route matches.
    NoRoute,
    /// No route matches, and the request is gRPC-Web.
    NoRouteForGrpcWeb,
    /// The service has no endpoint that may take requests.
    NoBackend,
    /// No endpoint could be connected to.
    Connect,
    /// Every stream was taken for too long.
    Overloaded,
    /// The request has more header fields than are allowed.
    TooLarge,
    /// The backend takes no header list of this size.
    TooLargeForBackend,
    /// The method is CONNECT.
    ConnectMethod,
    /// The route redirects, and the request is gRPC.
    GrpcRedirect,
    /// The route redirects to the host that the request came by, and the request names none.
    NoHost,
    /// A gRPC request came over HTTP/1.1.
    GrpcOverHttp1,
    /// A gRPC request is for a service whose backends speak HTTP/1.1.
    GrpcToHttp1,
    /// The backend's connection ended.
    BackendLost,
    /// The backend took the request back unprocessed.
    BackendRefused,
    /// The backend's response breaks the protocol.
    BackendMalformed,
    /// The response has more header fields than are allowed.
    ResponseTooLarge,
    /// The client takes no header list of this size.
    TooLargeForClient,
    /// The client takes no trailers of this size.
    TrailersTooLargeForClient,
    /// Nothing came or left for too long.
    Idle,
    /// The caller says how long it waits, and nobody can read that.
    BadTimeout,
    /// Its time was up.
    Expired(Limit),
    /// The gateway goes down, and has waited long enough for a backend to take it.
    ShuttingDown,
    /// As before, but for the answer.
    CutOff,
    /// The backend was taken out, and what it has in flight has had its time to finish.
    Drained,
}

impl Failure {
    /// For a request with this head.
    pub fn no_route(head: &Headers) -> Failure {
        if fields::is_grpc_web(head) { Failure::NoRouteForGrpcWeb } else { Failure::NoRoute }
    }

    /// What the client is told: the code for gRPC, the status for HTTP, and the words for both.
    pub(super) const fn answer(self) -> (GrpcCode, &'static [u8], &'static str) {
        use GrpcCode::{DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unimplemented};
        match self {
            Failure::NoRoute => (Unimplemented, b"404", "no route matches this request"),
            Failure::NoRouteForGrpcWeb => (
                Unimplemented,
                b"404",
                "no route matches this request: it is gRPC-Web, which is not translated, and \
                 routes with `grpc` take gRPC over HTTP/2",
            ),
            Failure::NoBackend => (Unavailable, b"503", "no backend may take requests"),
            Failure::Connect => (Unavailable, b"503", "no connection to a backend"),
            Failure::Overloaded => (Unavailable, b"503", "every backend is busy"),
            Failure::TooLarge => (ResourceExhausted, b"431", "request headers are too large"),
            Failure::TooLargeForBackend => {
                (ResourceExhausted, b"431", "request headers are too large for the backend")
            }
            Failure::ConnectMethod => (Unimplemented, b"405", "CONNECT is not supported"),
            Failure::GrpcRedirect => {
                (Unimplemented, b"404", "this route redirects, and gRPC follows no redirect")
            }
            Failure::NoHost => (Unimplemented, b"400", "the request names no host to redirect to"),
            Failure::GrpcOverHttp1 => (
                Unimplemented,
                b"505",
                "gRPC needs HTTP/2 from end to end, and this came over HTTP/1.1, from the client or \
                 from a proxy between",
            ),
            Failure::GrpcToHttp1 => (
                Unimplemented,
                b"502",
                "gRPC needs HTTP/2, and the backends of this service speak HTTP/1.1",
            ),
            Failure::BackendLost => (Unavailable, b"502", "the backend closed the connection"),
            Failure::BackendRefused => (Unavailable, b"503", "the backend refused the request"),
            Failure::BackendMalformed => (Internal, b"502", "the backend broke the protocol"),
            Failure::ResponseTooLarge => {
                (ResourceExhausted, b"502", "response headers are too large")
            }
            Failure::TooLargeForClient => {
                (ResourceExhausted, b"502", "response headers are too large for the client")
            }
            Failure::TrailersTooLargeForClient => {
                (ResourceExhausted, b"502", "response trailers are too large for the client")
            }
            Failure::Idle => (DeadlineExceeded, b"504", "nothing was sent for too long"),
            Failure::BadTimeout => (
                Internal,
                b"400",
                "grpc-timeout is malformed: it has one to eight digits and a unit, which is one of \
                 H, M, S, m, u and n",
            ),
            Failure::Expired(Limit::Caller) => {
                (DeadlineExceeded, b"504", "the caller's deadline has passed")
            }
            Failure::Expired(Limit::Route) => {
                (DeadlineExceeded, b"504", "the time-out of the route has passed")
            }
            Failure::ShuttingDown | Failure::CutOff => {
                (Unavailable, b"503", "the gateway is going down")
            }
            Failure::Drained => (
                Unavailable,
                b"503",
                "the backend was taken out of service, and the time to finish is over",
            ),
        }
    }

    /// Why, in words.
    pub const fn words(self) -> &'static str {
        self.answer().2
    }

    /// The reason under which a request is counted that failed so before a backend had it.
    pub const fn reason(self) -> Option<Rejected> {
        match self {
            Failure::NoRoute | Failure::NoRouteForGrpcWeb | Failure::GrpcRedirect => {
                Some(Rejected::NoRoute)
            }
            Failure::NoHost | Failure::BadTimeout => Some(Rejected::Malformed),
            Failure::NoBackend => Some(Rejected::NoBackend),
            Failure::Connect => Some(Rejected::Connect),
            Failure::Overloaded => Some(Rejected::Overloaded),
            Failure::TooLarge | Failure::TooLargeForBackend => Some(Rejected::TooLarge),
            Failure::ConnectMethod => Some(Rejected::ConnectMethod),
            Failure::GrpcOverHttp1 | Failure::GrpcToHttp1 => Some(Rejected::HttpVersion),
            Failure::ShuttingDown => Some(Rejected::ShuttingDown),
            Failure::BackendRefused => Some(Rejected::Refused),
            Failure::Expired(_) => Some(Rejected::Deadline),
            // A backend has had it, and its outcome is counted there.
            Failure::BackendLost
            | Failure::BackendMalformed
            | Failure::ResponseTooLarge
            | Failure::TooLargeForClient
            | Failure::TrailersTooLargeForClient
            | Failure::Idle
            | Failure::CutOff
            | Failure::Drained => None,
        }
    }

    /// How the attempt at a backend ended that failed so.
    pub const fn ending(self) -> Ending {
        Ending::Broken(match self {
            Failure::Connect => Break::Unreachable,
            Failure::Overloaded => Break::Busy,
            Failure::BackendLost => Break::Lost,
            Failure::BackendRefused => Break::Refused,
            Failure::BackendMalformed => Break::Malformed,
            Failure::ResponseTooLarge => Break::TooLarge,
            Failure::Idle => Break::Silent,
            Failure::Expired(_) => Break::Expired,
            Failure::TooLargeForClient => return Ending::ClientGone,
            Failure::ShuttingDown | Failure::CutOff | Failure::Drained => return Ending::CutOff,
            // What is left is found before a backend is picked, or of the request itself.
            _ => Break::Unfit,
        })
    }

    /// The code under which a backend's requests that ended so are counted.
    pub fn code(self, grpc: bool) -> Code {
        let (code, status, _) = self.answer();
        if grpc {
            return Code::Grpc(code);
        }
        Code::Http(status.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        match error {
            OpenError::Connect => Failure::Connect,
            OpenError::Full => Failure::Overloaded,
            OpenError::TooLarge => Failure::TooLargeForBackend,
        }
    }
}

/// What kind of answer a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Trailers-only with a gRPC status.
    Grpc,
    /// A status with a short body.
    Http,
    /// A status alone: the method is HEAD.
    Head,
}

impl Asked {
    /// What a request with this head on `conn` wants.
    pub fn by(head: &Headers, conn: &Conn) -> Asked {
        // There is no gRPC over HTTP/1.1: whoever tries is to read why.
        if fields::is_grpc(head) && !conn.is_http1() {
            return Asked::Grpc;
        }
        match head.get(Name::Method) {
            Some(b"HEAD") => Asked::Head,
            _ => Asked::Http,
        }
    }
}

/// Ends a response that has begun: gRPC is told in trailers, the rest by a reset, so that nobody
/// takes a truncated body for a whole one.
pub fn truncate(front: &Stream, grpc: bool, failure: Failure) {
    if !grpc {
        return front.reset(ErrorCode::INTERNAL_ERROR);
    }
    let mut trailers = front.conn().worker().take_headers();
    end_with_status(front, &mut trailers, failure, |trailers| front.send_trailers(trailers));
    front.conn().worker().recycle(trailers);
    front.discard();
}

/// Sends `block` with the status and, where the client has room for them, the words. A client
/// that takes not even the status reads it from the code of a reset.
pub(super) fn end_with_status(
    front: &Stream,
    block: &mut Headers,
    failure: Failure,
    send: impl Fn(&Headers) -> Result<(), SendError>,
) {
    let (code, _, words) = failure.answer();
    block.add(Name::GrpcStatus, code.digits().as_bytes());
    block.add(Name::GrpcMessage, words.as_bytes());
    if send(block).is_ok() {
        return;
    }
    block.retain(|field| field.id != Name::GrpcMessage);
    if send(block).is_err() {
        front.reset(match code {
            GrpcCode::ResourceExhausted => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::INTERNAL_ERROR,
        });
    }
}
