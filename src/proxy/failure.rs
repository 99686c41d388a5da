//! Why a request failed, and what each failure means: to the client, to the metrics and to the
//! backend's health.

use std::time::Duration;

use super::exchange::Limit;
use super::fields;
use crate::http::{Headers, PathFault};
use crate::model::{AttemptFailure, AttemptOutcome, Code, GrpcCode, RejectReason};
use crate::upstream::OpenError;

const LIMITED: &str = "the service has as many requests in flight as it may have";
const RATE_LIMITED: &str = "too many requests: the rate limit of the route is reached";
const GOING_DOWN: &str = "the gateway is going down";
const UNDERSCORES: &str = "a header field has an underscore in its name: write a dash";
const GRPC_OVER_HTTP1: &str = "gRPC needs HTTP/2 from end to end, and this came over HTTP/1.1, \
                               from the client or from a proxy between";
const BAD_TIMEOUT: &str = "grpc-timeout is malformed: it has one to eight digits and a unit, which \
                           is one of H, M, S, m, u and n";

/// After how long a refused request may be tried again, in steps of 10 ms. Small, as every request in
/// flight has room for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushback(u16);

impl Pushback {
    const STEP_MS: u64 = 10;

    /// The next step, up to 655 s.
    pub fn of(pause: Duration) -> Pushback {
        let steps = pause.as_millis().div_ceil(Pushback::STEP_MS.into()).max(1);
        Pushback(u16::try_from(steps).unwrap_or(u16::MAX))
    }

    const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64 * Pushback::STEP_MS)
    }
}

/// Why a request has no response from a backend, or an incomplete one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No route matches.
    NoRoute,
    /// No route matches, and the request is gRPC-Web.
    NoRouteForGrpcWeb,
    /// The service has no eligible endpoint.
    NoBackend,
    /// Connecting to a backend failed.
    Connect,
    /// No stream slot became available in time.
    Overloaded,
    /// Its service has as many requests in flight as it may have.
    Limited(Pushback),
    /// Its route lets through as many requests as its rate limit says.
    RateLimited(Pushback),
    /// Its service has as many in flight as it may, where the configuration says UNAVAILABLE.
    Busy(Pushback),
    /// Its path may be read in more than one way.
    Path(PathFault),
    /// A field has an underscore in its name.
    Underscores,
    /// The request's header list exceeds the limit.
    TooLarge,
    /// The header list exceeds the backend's limit.
    TooLargeForBackend,
    /// The method is CONNECT.
    ConnectMethod,
    /// The route is for other clients, by their certificates.
    Forbidden,
    /// The route redirects, and the request is gRPC.
    GrpcRedirect,
    /// The route redirects to the request's own host, and the request has none.
    NoHost,
    /// A gRPC request came over HTTP/1.1.
    GrpcOverHttp1,
    /// A gRPC request is for a service whose backends speak HTTP/1.1.
    GrpcToHttp1,
    /// The backend's connection was lost.
    BackendLost,
    /// The backend refused the stream unprocessed.
    BackendRefused,
    /// The backend violated the protocol.
    BackendMalformed,
    /// The response's header list exceeds the limit.
    ResponseTooLarge,
    /// The response head exceeds the client's limit.
    TooLargeForClient,
    /// The response trailers exceed the client's limit.
    TrailersTooLargeForClient,
    /// Idle timeout.
    Idle,
    /// `grpc-timeout` is malformed.
    BadTimeout,
    /// An attempt took longer than the route allows for one.
    AttemptTimeout,
    /// Its deadline expired.
    Expired(Limit),
    /// The drain timeout ended before a backend had the request.
    ShuttingDown,
    /// The drain timeout ended before the response did.
    CutOff,
    /// The drain timeout of a removed backend ended before the response did.
    Drained,
}

impl Failure {
    /// The failure for a request that no route matches.
    pub fn no_route(head: &Headers) -> Failure {
        if fields::is_grpc_web(head) { Failure::NoRouteForGrpcWeb } else { Failure::NoRoute }
    }

    /// The local reply: gRPC code, HTTP status, and the message for both.
    pub(super) const fn local_reply(self) -> (GrpcCode, &'static [u8], &'static str) {
        use GrpcCode::{
            DeadlineExceeded, Internal, PermissionDenied, ResourceExhausted, Unavailable,
            Unimplemented,
        };
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
            Failure::Limited(_) => (ResourceExhausted, b"429", LIMITED),
            Failure::RateLimited(_) => (ResourceExhausted, b"429", RATE_LIMITED),
            Failure::Busy(_) => (Unavailable, b"503", LIMITED),
            Failure::Path(fault) => (Unimplemented, b"400", path_message(fault)),
            Failure::Underscores => (Internal, b"400", UNDERSCORES),
            Failure::TooLarge => (ResourceExhausted, b"431", "request headers are too large"),
            Failure::TooLargeForBackend => {
                (ResourceExhausted, b"431", "request headers are too large for the backend")
            }
            Failure::ConnectMethod => (Unimplemented, b"405", "CONNECT is not supported"),
            Failure::Forbidden => {
                (PermissionDenied, b"403", "this route is for clients with other certificates")
            }
            Failure::GrpcRedirect => {
                (Unimplemented, b"404", "this route redirects, and gRPC follows no redirect")
            }
            Failure::NoHost => (Unimplemented, b"400", "the request names no host to redirect to"),
            Failure::GrpcOverHttp1 => (Unimplemented, b"505", GRPC_OVER_HTTP1),
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
            Failure::AttemptTimeout => {
                (Unavailable, b"504", "no backend has answered in the time for an attempt")
            }
            Failure::Idle => (DeadlineExceeded, b"504", "nothing was sent for too long"),
            Failure::BadTimeout => (Internal, b"400", BAD_TIMEOUT),
            Failure::Expired(Limit::Caller) => {
                (DeadlineExceeded, b"504", "the caller's deadline has passed")
            }
            Failure::Expired(Limit::Route) => {
                (DeadlineExceeded, b"504", "the time-out of the route has passed")
            }
            Failure::ShuttingDown | Failure::CutOff => (Unavailable, b"503", GOING_DOWN),
            Failure::Drained => (
                Unavailable,
                b"503",
                "the backend was taken out of service, and the time to finish is over",
            ),
        }
    }

    /// The message.
    pub const fn message(self) -> &'static str {
        self.local_reply().2
    }

    /// After how long the request may be tried again, if that is known.
    pub const fn pushback(self) -> Option<Duration> {
        match self {
            Failure::Limited(pushback)
            | Failure::RateLimited(pushback)
            | Failure::Busy(pushback) => Some(pushback.duration()),
            _ => None,
        }
    }

    /// The reject reason, if no backend had the request.
    pub const fn reason(self) -> Option<RejectReason> {
        match self {
            Failure::NoRoute | Failure::NoRouteForGrpcWeb | Failure::GrpcRedirect => {
                Some(RejectReason::NoRoute)
            }
            Failure::NoHost | Failure::BadTimeout => Some(RejectReason::Malformed),
            Failure::Path(_) => Some(RejectReason::Path),
            Failure::Underscores => Some(RejectReason::Underscores),
            Failure::NoBackend => Some(RejectReason::NoBackend),
            Failure::Connect => Some(RejectReason::Connect),
            Failure::Overloaded => Some(RejectReason::Overloaded),
            Failure::Limited(_) | Failure::Busy(_) => Some(RejectReason::Limited),
            Failure::RateLimited(_) => Some(RejectReason::RateLimited),
            Failure::TooLarge | Failure::TooLargeForBackend => Some(RejectReason::TooLarge),
            Failure::ConnectMethod => Some(RejectReason::ConnectMethod),
            Failure::Forbidden => Some(RejectReason::Forbidden),
            Failure::GrpcOverHttp1 | Failure::GrpcToHttp1 => Some(RejectReason::HttpVersion),
            Failure::ShuttingDown => Some(RejectReason::ShuttingDown),
            Failure::BackendRefused => Some(RejectReason::Refused),
            Failure::Expired(_) => Some(RejectReason::Deadline),
            // Sent to a backend, so counted with its outcomes.
            Failure::BackendLost
            | Failure::BackendMalformed
            | Failure::ResponseTooLarge
            | Failure::TooLargeForClient
            | Failure::TrailersTooLargeForClient
            | Failure::AttemptTimeout
            | Failure::Idle
            | Failure::CutOff
            | Failure::Drained => None,
        }
    }

    /// How the attempt ended, for judging the backend.
    pub const fn attempt_outcome(self) -> AttemptOutcome {
        AttemptOutcome::Failed(match self {
            Failure::Connect => AttemptFailure::Unreachable,
            Failure::Overloaded => AttemptFailure::Busy,
            Failure::BackendLost => AttemptFailure::Lost,
            Failure::BackendRefused => AttemptFailure::Refused,
            Failure::BackendMalformed => AttemptFailure::Malformed,
            Failure::ResponseTooLarge => AttemptFailure::TooLarge,
            Failure::Idle | Failure::AttemptTimeout => AttemptFailure::Silent,
            Failure::Expired(_) => AttemptFailure::Expired,
            Failure::TooLargeForClient => return AttemptOutcome::ClientGone,
            Failure::ShuttingDown | Failure::CutOff | Failure::Drained => {
                return AttemptOutcome::CutOff;
            }
            // The rest concern the request itself.
            _ => AttemptFailure::Unfit,
        })
    }

    /// The status, as the client sees it.
    pub fn code(self, grpc: bool) -> Code {
        let (code, status, _) = self.local_reply();
        if grpc {
            return Code::Grpc(code);
        }
        Code::Http(status.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
    }
}

/// To gRPC it is UNIMPLEMENTED, as no method has such a path.
const fn path_message(fault: PathFault) -> &'static str {
    match fault {
        PathFault::BadEscape => "the path has a % without two hexadecimal digits",
        PathFault::EncodedSlash => "the path has a slash or a backslash that is percent-encoded",
        PathFault::EncodedControl => "the path has a control byte that is percent-encoded",
        PathFault::Parameters => "the path has a semicolon: write %3B if it is part of a name",
        PathFault::AboveRoot => "the path leads above the root",
        PathFault::NotNormal => {
            "the path is not in normal form: without dot segments, doubled slashes, backslashes and \
             needless escapes"
        }
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
