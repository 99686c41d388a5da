//! Holds back the head of a call's response until a message or a failure follows: some servers fail
//! in trailers after a head, and a retry is only possible before commit.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::events::Event;
use super::retry::pushback;
use super::start::{Response, Trailers};
use super::{Attempt, Destination, Exchange, grpc_code};

impl Exchange {
    /// Holds it back if the route retries such calls.
    pub(super) async fn hold_if_due(
        &self,
        destination: &Destination,
        attempt: &Attempt,
        response: Response,
    ) -> Response {
        let is_call = self.grpc && !response.end && !attempt.is_stream();
        match self.retry_policy(destination).filter(|policy| is_call && !policy.hold.is_zero()) {
            Some(policy) => self.hold(attempt, response, policy.hold).await,
            None => response,
        }
    }

    /// Waits for `limit` at most until something follows the head: the first bytes of a message, or
    /// trailers, which become part of the response.
    async fn hold(&self, attempt: &Attempt, mut response: Response, limit: Duration) -> Response {
        let mut timer = pin!(self.proxy.worker.sleep(limit));
        poll_fn(|cx| match self.poll_held(cx, attempt, &mut response) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => timer.as_mut().poll(cx),
        })
        .await;
        response
    }

    fn poll_held(
        &self,
        cx: &mut Context<'_>,
        attempt: &Attempt,
        response: &mut Response,
    ) -> Poll<()> {
        loop {
            if attempt.back().is_none_or(|back| back.has_data() || back.over().is_some()) {
                return Poll::Ready(());
            }
            match std::task::ready!(self.poll_event(cx, attempt)) {
                Event::Trailers(trailers) => {
                    let (code, pushback) = (grpc_code(&trailers), pushback(&trailers));
                    response.trailers = Some(Box::new(Trailers { code, pushback })); // rare
                    if let Some(back) = attempt.back() {
                        back.put_back_trailers(trailers);
                    }
                    return Poll::Ready(());
                }
                Event::RequestTrailers(trailers) => self.send_request_trailers(attempt, trailers),
                Event::Head(headers, _) | Event::Informational(headers) => {
                    self.proxy.worker.recycle(headers);
                }
                // The event shows again after commit.
                Event::Ended | Event::Error(_) => return Poll::Ready(()),
            }
        }
    }
}
