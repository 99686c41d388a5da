//! Splices the two streams after commit: the connections' drivers move the data, and the exchange
//! waits for the end.

use std::future::poll_fn;
use std::task::Poll;

use super::super::failure::Failure;
use super::super::local_reply::truncate;
use super::events::Event;
use super::start::AttemptError;
use super::stream_detector::SECOND_MESSAGE;
use super::{Attempt, Exchange, Outcome, grpc_code};
use crate::http::{ErrorCode, Headers, SendError};
use crate::model::{Code, GrpcCode};

impl Exchange {
    /// Waits for the end of the response.
    pub(super) async fn splice(&self, attempt: &Attempt, status: u16) -> Outcome {
        loop {
            match self.next_event(attempt).await {
                Event::Trailers(trailers) => {
                    let outcome = self.forward_trailers(attempt, &trailers, status);
                    self.proxy.worker.recycle(trailers);
                    return outcome;
                }
                Event::Ended => {
                    let unknown = Code::Grpc(GrpcCode::Unknown);
                    let code = if self.grpc { unknown } else { Code::Http(status) };
                    return self.answered(attempt, code);
                }
                // After the head, only trailers can be too large, and an HTTP body is complete
                // without them.
                Event::Error(AttemptError::Failed(Failure::ResponseTooLarge)) if !self.grpc => {
                    // an error means that the client is gone
                    let _ = self.front.send_data(&[], true);
                    return self.answered(attempt, Code::Http(status));
                }
                Event::Error(error) => return self.abort(attempt, error),
                Event::RequestTrailers(trailers) => {
                    self.send_request_trailers(attempt, trailers);
                }
                Event::Head(headers, _) | Event::Informational(headers) => {
                    self.proxy.worker.recycle(headers);
                }
            }
        }
    }

    /// Forwards the backend's trailers, which end the response.
    ///
    /// Trailers over the client's limit would lose the gRPC status, so another status replaces it.
    /// An HTTP body is complete without them.
    fn forward_trailers(&self, attempt: &Attempt, trailers: &Headers, status: u16) -> Outcome {
        let code = match self.front.send_trailers(trailers) {
            Err(SendError::TooLarge) if self.grpc => {
                truncate(&self.front, true, Failure::TrailersTooLargeForClient);
                Failure::TrailersTooLargeForClient.code(true)
            }
            Err(SendError::TooLarge) => {
                let _ = self.front.send_data(&[], true); // an error means that the client is gone
                Code::Http(status)
            }
            // A client that is gone does not change the backend's outcome.
            Ok(()) | Err(SendError::Gone) if self.grpc => grpc_code(trailers),
            Ok(()) | Err(SendError::Gone) => Code::Http(status),
        };
        self.answered(attempt, code)
    }

    /// The backend's response is complete.
    pub(super) fn answered(&self, attempt: &Attempt, code: Code) -> Outcome {
        let at = attempt.back().and_then(|back| {
            if back.messages() >= SECOND_MESSAGE {
                attempt.become_stream(&self.proxy.worker, Some(&self.front), back);
            }
            if self.grpc { back.single_message_at() } else { None }
        });
        // A complete response ends the exchange, even if the request is not complete.
        attempt.cancel();
        self.front.discard();
        Outcome::answered(code, at)
    }

    /// Waits until the client has read the whole response, within its idle timeout.
    pub(super) async fn finish(&self) {
        // waiting for the backend does not count as the client's idleness
        let whole_at = self.proxy.worker.now();
        let limit = self.front.conn().stream_idle_timeout();
        self.timeouts.borrow_mut().answered(limit);
        poll_fn(|cx| {
            if !self.front.is_open() || self.front.over().is_some() {
                return Poll::Ready(());
            }
            self.front.register_but_for_body(cx);
            let active = || self.front.last_active().max(whole_at);
            match self.timeouts.borrow_mut().poll(cx, &self.proxy.worker, active) {
                Some(_) => Poll::Ready(()),
                None => Poll::Pending,
            }
        })
        .await;
        if self.front.is_open() {
            self.front.reset(ErrorCode::CANCEL);
        }
        self.front.detach();
    }
}
