//! Sends the request body to a backend and awaits the response head.

use super::super::failure::Failure;
use super::super::fields;
use super::attempted_endpoints::AttemptedEndpoints;
use super::events::Event;
use super::{Attempt, Exchange};
use crate::http::{ErrorCode, Headers, Name, SendError};
use crate::net::{Stream, splice};
use crate::upstream::Version;

/// Limit of the replay buffer: bytes of a request body kept for a retry.
const MAX_REPLAY: usize = 64 << 10;

/// The start of a response.
pub struct Response {
    pub head: Headers,
    /// No body or trailers follow.
    pub end: bool,
}

/// Why an attempt gave no response, or an incomplete one.
#[derive(Clone, Copy, Debug)]
pub enum AttemptError {
    /// The gateway found a failure.
    Failed(Failure),
    /// The backend reset its stream.
    Reset(ErrorCode),
    /// The client cancelled or disconnected.
    ClientGone,
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> AttemptError {
        AttemptError::Failed(failure)
    }
}

impl Exchange {
    /// Splices the request body to the backend of `attempt`.
    pub(super) fn send(&self, attempt: &Attempt, attempted: &AttemptedEndpoints) {
        let Some(back) = attempt.back().filter(|_| !self.end && !self.is_upgrade()) else { return };
        self.send_continue(attempt);
        if attempt.is_stream() {
            attempt.meter_requests(&self.front);
        }
        splice(&self.front, back, (!attempted.is_resent()).then_some(MAX_REPLAY));
    }

    /// Sends `100 Continue`, once, to a client that expects it. A backend that speaks HTTP/1.1
    /// sends it itself.
    fn send_continue(&self, attempt: &Attempt) {
        let asks = || {
            let head = self.head.borrow();
            head.get(Name::Expect).is_some_and(|what| what.eq_ignore_ascii_case(b"100-continue"))
        };
        let here = attempt.pool().version() == Version::Http2 && !self.grpc;
        if here && asks() && !self.sent_continue.replace(true) {
            let mut head = self.proxy.worker.take_headers();
            head.add(Name::Status, b"100");
            // An error shows again when the final response is sent.
            let _ = self.front.send_informational(&head);
            self.proxy.worker.recycle(head);
        }
    }

    /// Waits for the response head.
    pub(super) async fn await_start(&self, attempt: &Attempt) -> Result<Response, AttemptError> {
        let Some(back) = attempt.back() else { return Err(Failure::BackendLost.into()) };
        loop {
            match self.next_event(attempt).await {
                Event::Head(head, end) => return Ok(Response { head, end }),
                Event::Informational(head) => self.forward_informational(head),
                Event::RequestTrailers(trailers) => self.send_request_trailers(back, trailers),
                Event::Error(error) => return Err(error),
                Event::Trailers(trailers) => self.proxy.worker.recycle(trailers),
                Event::Ended => return Err(Failure::BackendMalformed.into()),
            }
        }
    }

    /// Forwards an informational response (1xx). gRPC has none, and `100 Continue` is sent only
    /// once.
    fn forward_informational(&self, head: Headers) {
        let again = self.sent_continue.get() && fields::status(&head) == 100;
        if !self.grpc && !again {
            // An error shows again when the final response is sent.
            let _ = self.front.send_informational(&head);
        }
        self.proxy.worker.recycle(head);
    }

    /// Forwards the request's trailers. If they exceed the backend's limit, the body is ended
    /// without them; gRPC requests have no trailers.
    pub(super) fn send_request_trailers(&self, back: &Stream, trailers: Headers) {
        self.sent_trailers.set(true);
        if back.send_trailers(&trailers) == Err(SendError::TooLarge) {
            let _ = back.send_data(&[], true); // an error shows as the end of its stream
        }
        self.proxy.worker.recycle(trailers);
    }
}
