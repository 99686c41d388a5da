//! Sends the request body to a backend and awaits the response head.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::super::failure::Failure;
use super::super::fields;
use super::attempted_endpoints::AttemptedEndpoints;
use super::classify::Start;
use super::events::Event;
use super::{Attempt, Destination, Exchange};
use crate::http::{ErrorCode, Headers, Name, SendError};
use crate::model::Code;
use crate::model::Time;
use crate::net::splice;
use crate::upstream::Version;

/// The start of a response.
pub struct Response {
    pub head: Headers,
    /// No body or trailers follow.
    pub end: bool,
    /// What the trailers say that have come instead of a message, while the head was held back.
    pub trailers: Option<Box<Trailers>>,
}

/// What trailers say, before they are sent on.
#[derive(Debug)]
pub struct Trailers {
    /// The status.
    pub code: Code,
    /// The pause until a retry that the backend asks for, or `None` if it wants none.
    pub pushback: Option<Option<Duration>>,
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
        splice(&self.front, back, self.replay_limit(attempted));
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

    /// Waits for the start of the response, at a route that retries or hedges; `picked` becomes the
    /// attempt of which the result is.
    pub(super) async fn await_by_policy(
        &self,
        destination: &Destination,
        picked: &mut Option<Attempt>,
        attempted: &mut AttemptedEndpoints,
    ) -> Start {
        if let Some(policy) = self.hedge_policy(destination) {
            return self.await_hedged(destination, policy, picked, attempted).await;
        }
        let Some(attempt) = picked else { return Err(Failure::NoBackend.into()) };
        let limit = self.retry_policy(destination).and_then(|policy| policy.per_attempt_timeout);
        let head = poll_fn(|cx| self.poll_head(cx, attempt));
        let response = match limit {
            None => head.await?,
            Some(limit) => tokio::select! {
                biased;
                start = head => start?,
                () = self.attempt_timeout(limit, attempt.sent_at()) => return Err(Failure::AttemptTimeout.into()),
            },
        };
        Ok(self.hold_if_due(destination, attempt, response).await)
    }

    /// Resolves when a backend has been waited for so long from `begun` on. While the client still sends its request
    /// it is the client that is waited for.
    pub(super) async fn attempt_timeout(&self, limit: Duration, begun: Time) {
        let worker = &self.proxy.worker;
        loop {
            let waited = worker.now().since(begun.max(self.front.last_active()));
            match self.is_request_sent() {
                true if waited >= limit => return,
                true => worker.sleep(limit - waited).await,
                false => worker.sleep(limit).await,
            }
        }
    }

    /// Waits for the response head.
    pub(super) async fn await_head(&self, attempt: &Attempt) -> Start {
        poll_fn(|cx| self.poll_head(cx, attempt)).await
    }

    /// The result of `attempt`, once its response head has come, or none will.
    #[inline(always)] // a call of every request, from one place more than is inlined by itself
    pub(super) fn poll_head(&self, cx: &mut Context<'_>, attempt: &Attempt) -> Poll<Start> {
        loop {
            match ready!(self.poll_event(cx, attempt)) {
                Event::Head(head, end) => {
                    return Poll::Ready(Ok(Response { head, end, trailers: None }));
                }
                Event::Informational(head) => self.forward_informational(head),
                Event::RequestTrailers(trailers) => self.send_request_trailers(attempt, trailers),
                Event::Error(error) => return Poll::Ready(Err(error)),
                Event::Trailers(trailers) => self.proxy.worker.recycle(trailers),
                Event::Ended => return Poll::Ready(Err(Failure::BackendMalformed.into())),
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
    pub(super) fn send_request_trailers(&self, attempt: &Attempt, trailers: Headers) {
        let Some(back) = attempt.back() else { return };
        self.sent_trailers.set(true);
        if back.send_trailers(&trailers) == Err(SendError::TooLarge) {
            let _ = back.send_data(&[], true); // an error shows as the end of its stream
        }
        self.proxy.worker.recycle(trailers);
    }
}
