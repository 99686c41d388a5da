//! Sends the request body to a backend and awaits the response head.

use super::super::fields;
use super::super::reject::Failure;
use super::events::Event;
use super::tried::Tried;
use super::{Attempt, Exchange};
use crate::http::{ErrorCode, Headers, Name, SendError};
use crate::net::{Stream, splice};
use crate::upstream::Version;

/// Limit of the replay buffer: bytes of a request body kept for a retry.
const REPLAY: usize = 64 << 10;

/// The start of a response.
pub struct Response {
    pub head: Headers,
    /// No body or trailers follow.
    pub end: bool,
}

/// Why an attempt brought no response, or an incomplete one.
#[derive(Clone, Copy, Debug)]
pub enum Broken {
    /// The gateway found a failure.
    Failed(Failure),
    /// The backend reset its stream.
    Reset(ErrorCode),
    /// The client cancelled or disconnected.
    ClientGone,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Broken {
        Broken::Failed(failure)
    }
}

impl Exchange {
    /// Splices the request body to the backend of `attempt`.
    pub(super) fn send(&self, attempt: &Attempt, tried: &Tried) {
        let Some(back) = attempt.back().filter(|_| !self.end && !self.is_upgrade()) else { return };
        self.invite_body(attempt);
        if attempt.is_stream() {
            attempt.meter_requests(&self.front);
        }
        splice(&self.front, back, (!tried.is_resent()).then_some(REPLAY));
    }

    /// Sends `100 Continue`, once, to a client that expects it. A backend that speaks HTTP/1.1
    /// sends it itself.
    fn invite_body(&self, attempt: &Attempt) {
        let asks = || {
            let head = self.head.borrow();
            head.get(Name::Expect).is_some_and(|what| what.eq_ignore_ascii_case(b"100-continue"))
        };
        let here = attempt.pool().version() == Version::Http2 && !self.grpc;
        if here && asks() && !self.invited.replace(true) {
            let mut head = self.proxy.worker.take_headers();
            head.add(Name::Status, b"100");
            // An error shows again when the final response is sent.
            let _ = self.front.send_informational(&head);
            self.proxy.worker.recycle(head);
        }
    }

    /// Waits for the response head.
    pub(super) async fn await_start(&self, attempt: &Attempt) -> Result<Response, Broken> {
        let Some(back) = attempt.back() else { return Err(Failure::BackendLost.into()) };
        loop {
            match self.next_event(attempt).await {
                Event::Head(head, end) => return Ok(Response { head, end }),
                Event::Informational(head) => self.pass_informational(head),
                Event::RequestTrailers(trailers) => self.send_request_trailers(back, trailers),
                Event::Broken(broken) => return Err(broken),
                Event::Trailers(trailers) => self.proxy.worker.recycle(trailers),
                Event::Ended => return Err(Failure::BackendMalformed.into()),
            }
        }
    }

    /// Forwards an informational response (1xx). gRPC has none, and `100 Continue` is sent only
    /// once.
    fn pass_informational(&self, head: Headers) {
        let again = self.invited.get() && fields::status(&head) == 100;
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
