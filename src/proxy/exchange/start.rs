//! The request goes to a backend, and the start of its response is waited for.

use super::super::fields;
use super::super::reject::Failure;
use super::events::Event;
use super::tried::Tried;
use super::{Attempt, Exchange};
use crate::http::{ErrorCode, Headers, Name, SendError};
use crate::net::{Stream, splice};
use crate::upstream::Version;

/// Bytes of a request's body that are kept until it is known that no second try is needed.
const REPLAY: usize = 64 << 10;

/// How a response begins.
pub struct Response {
    pub head: Headers,
    /// The head is all.
    pub end: bool,
}

/// Why there is no response, or not all of it.
#[derive(Clone, Copy, Debug)]
pub enum Broken {
    /// It failed.
    Failed(Failure),
    /// The backend has reset its stream.
    Reset(ErrorCode),
    /// The client is gone.
    ClientGone,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Broken {
        Broken::Failed(failure)
    }
}

impl Exchange {
    /// Has the body go to the backend of `attempt`.
    pub(super) fn send(&self, attempt: &Attempt, tried: &Tried) {
        let Some(back) = attempt.back().filter(|_| !self.end && !self.is_upgrade()) else { return };
        self.invite_body(attempt);
        if attempt.is_stream() {
            attempt.meter_requests(&self.front);
        }
        splice(&self.front, back, (!tried.is_resent()).then_some(REPLAY));
    }

    /// Tells a client that asks before it sends a body to send it, once. HTTP/1.1 has the backend
    /// say so itself.
    fn invite_body(&self, attempt: &Attempt) {
        let asks = || {
            let head = self.head.borrow();
            head.get(Name::Expect).is_some_and(|what| what.eq_ignore_ascii_case(b"100-continue"))
        };
        let here = attempt.pool().version() == Version::Http2 && !self.grpc;
        if here && asks() && !self.invited.replace(true) {
            let mut head = self.proxy.worker.take_headers();
            head.add(Name::Status, b"100");
            // The final response says whether the client is still there.
            let _ = self.front.send_informational(&head);
            self.proxy.worker.recycle(head);
        }
    }

    /// Waits for the head of a response.
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

    /// Passes an informational response on, where it has a place: a gRPC call has none, and a
    /// client that was told to send its body is not told again.
    fn pass_informational(&self, head: Headers) {
        let again = self.invited.get() && fields::status(&head) == 100;
        if !self.grpc && !again {
            // The final response says whether the client is still there.
            let _ = self.front.send_informational(&head);
        }
        self.proxy.worker.recycle(head);
    }

    /// Passes the request's trailers on. Without those that a backend does not take for their
    /// size the body is whole nevertheless; gRPC has none.
    pub(super) fn send_request_trailers(&self, back: &Stream, trailers: Headers) {
        self.sent_trailers.set(true);
        if back.send_trailers(&trailers) == Err(SendError::TooLarge) {
            let _ = back.send_data(&[], true); // a backend that has ended speaks for itself
        }
        self.proxy.worker.recycle(trailers);
    }
}
