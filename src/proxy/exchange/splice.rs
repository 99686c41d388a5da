//! After the head of the response: the two streams are spliced, and only their ends matter.

use std::future::poll_fn;
use std::task::Poll;

use super::super::reject::{Failure, truncate};
use super::events::Event;
use super::start::Broken;
use super::stream_watch::SECOND_MESSAGE;
use super::{Attempt, Exchange, Outcome, grpc_code};
use crate::http::{ErrorCode, Headers, SendError};
use crate::model::{Code, GrpcCode};

impl Exchange {
    /// Waits for the end of the response.
    pub(super) async fn splice(&self, attempt: &Attempt, status: u16) -> Outcome {
        let Some(back) = attempt.back() else {
            return self.break_off(attempt, Failure::BackendLost.into());
        };
        loop {
            match self.next_event(attempt).await {
                Event::Trailers(trailers) => {
                    let outcome = self.pass_trailers(attempt, &trailers, status);
                    self.proxy.worker.recycle(trailers);
                    return outcome;
                }
                Event::Ended => {
                    let unknown = Code::Grpc(GrpcCode::Unknown);
                    let code = if self.grpc { unknown } else { Code::Http(status) };
                    return self.answered(attempt, code);
                }
                // Behind a head only trailers can be too large, and the body is whole without.
                Event::Broken(Broken::Failed(Failure::ResponseTooLarge)) if !self.grpc => {
                    let _ = self.front.send_data(&[], true); // who is gone needs no end
                    return self.answered(attempt, Code::Http(status));
                }
                Event::Broken(broken) => return self.break_off(attempt, broken),
                Event::RequestTrailers(trailers) => self.send_request_trailers(back, trailers),
                Event::Head(headers, _) | Event::Informational(headers) => {
                    self.proxy.worker.recycle(headers);
                }
            }
        }
    }

    /// Ends the client's response as the backend's has ended.
    ///
    /// Trailers that a client does not take for their size cost gRPC its status: another one says
    /// so. Elsewhere a body is whole without them.
    fn pass_trailers(&self, attempt: &Attempt, trailers: &Headers, status: u16) -> Outcome {
        let code = match self.front.send_trailers(trailers) {
            Err(SendError::TooLarge) if self.grpc => {
                truncate(&self.front, true, Failure::TrailersTooLargeForClient);
                Failure::TrailersTooLargeForClient.code(true)
            }
            Err(SendError::TooLarge) => {
                let _ = self.front.send_data(&[], true); // who is gone needs no end
                Code::Http(status)
            }
            // Who is gone is told nothing.
            Ok(()) | Err(SendError::Gone) if self.grpc => grpc_code(trailers),
            Ok(()) | Err(SendError::Gone) => Code::Http(status),
        };
        self.answered(attempt, code)
    }

    /// The response is whole.
    pub(super) fn answered(&self, attempt: &Attempt, code: Code) -> Outcome {
        let at = attempt.back().and_then(|back| {
            if back.messages() >= SECOND_MESSAGE {
                attempt.become_stream(&self.proxy.worker, Some(&self.front), back);
            }
            if self.grpc { back.single_message_at() } else { None }
        });
        // With the response the exchange is over, whatever of the request is still to come.
        attempt.cancel();
        self.front.discard();
        Outcome::answered(code, at)
    }

    /// Waits until the client has taken everything, or does not for too long.
    pub(super) async fn finish(&self) {
        let whole_at = self.proxy.worker.now(); // what went on before was no matter of the client's
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
