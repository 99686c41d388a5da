//! Sends response heads to the client; no other file does. Retries are possible before, never
//! after.

use super::super::failure::Failure;
use super::super::fields::{self, ResponseHead};
use super::super::filter;
use super::super::local_reply::{ReplyKind, end_with_status};
use super::start::{AttemptError, Response};
use super::{Attempt, Exchange, Outcome, grpc_code};
use crate::http::{ErrorCode, Headers, Name, SendError};
use crate::model::Code;
use crate::net::{Stream, splice};
use crate::route::Redirect;

/// Whether a committed response is complete.
pub enum Committed {
    /// Complete.
    Complete(Outcome),
    /// The body or trailers follow; the head had this status.
    Streaming(u16),
}

impl Exchange {
    /// Commits to a backend's response: sends its head to the client and splices the bodies.
    #[inline]
    pub(super) fn commit(&self, attempt: &Attempt, response: Response) -> Committed {
        let Response { mut head, end, .. } = response;
        let Some(back) = attempt.back() else {
            return Committed::Complete(self.fail(attempt, Failure::BackendLost.into()));
        };
        if let Some(filters) = self.destination.get().and_then(|to| to.filters()) {
            filter::response(filters, &mut head, &self.proxy.worker);
        }
        self.front.forget_replay();
        attempt.on_head(&self.proxy.worker, back, self.grpc);
        if !end && !back.is_whole() {
            attempt.on_body();
        }
        self.recycle_head();
        if self.send_head(attempt, &head, end).is_err() {
            return Committed::Complete(self.head_not_sent(attempt));
        }
        let status = fields::status(&head);
        let code = if end && self.grpc { grpc_code(&head) } else { Code::Http(status) };
        let is_event_stream = !self.grpc && fields::is_event_stream(&head);
        self.proxy.worker.recycle(head);
        if end {
            return Committed::Complete(self.answered(attempt, code));
        }
        if status == 101 || is_event_stream {
            attempt.become_stream(&self.proxy.worker, Some(&self.front), back);
            self.follow(attempt);
            self.timeouts.borrow_mut().lift_deadline(); // a route's timeout is for calls only
        }
        if status == 101 {
            // Before the 101, these bytes could have been the client's next request.
            splice(&self.front, back, None);
        }
        splice(back, &self.front, None);
        Committed::Streaming(status)
    }

    /// Forwards the response head, with the affinity cookie issued to the client, if any.
    #[inline]
    fn send_head(&self, attempt: &Attempt, head: &Headers, end: bool) -> Result<(), SendError> {
        let secure = self.front.conn().is_tls();
        let cookie = self
            .affinity_cookie
            .get()
            .and_then(|affinity_cookie| attempt.set_cookie(affinity_cookie, secure));
        self.front.send_head(ResponseHead::new(head, cookie.as_ref()), end)
    }

    /// The head could not be sent: it exceeds the client's limit, or the client is gone.
    fn head_not_sent(&self, attempt: &Attempt) -> Outcome {
        match self.front.is_open() {
            true => self.fail(attempt, Failure::TooLargeForClient.into()),
            false => self.abort(attempt, AttemptError::ClientGone),
        }
    }

    /// Answers with a redirect, and discards the rest of the request.
    pub(super) fn redirect(&self, redirect: &Redirect) -> Outcome {
        let request = self.head.borrow();
        let authority = fields::authority(&request);
        if authority.is_empty() && redirect.host.is_none() {
            return self.local_reply(Failure::NoHost);
        }
        let mut location = Vec::new();
        let https = request.get(Name::Scheme) == Some(b"https");
        let path = request.get(Name::Path).unwrap_or_default();
        redirect.location(https, authority, path, &mut location);
        let mut head = self.proxy.worker.take_headers();
        head.add(Name::Status, redirect.status.digits().as_bytes());
        head.add_named(b"location", &location);
        head.add(Name::ContentLength, b"0");
        // The client is gone, or its header list limit is even smaller than this.
        if self.front.send_head(&head, true).is_err() {
            self.front.reset(ErrorCode::INTERNAL_ERROR);
        }
        let status = fields::status(&head);
        self.proxy.worker.recycle(head);
        self.front.discard();
        Outcome::redirected(status)
    }
}

/// Sends a local reply: trailers-only for gRPC, otherwise a status with a short body. Discards the
/// rest of the request.
pub fn reply(front: &Stream, reply_kind: ReplyKind, failure: Failure) {
    let (_, status, words) = failure.local_reply();
    let mut head = front.conn().worker().take_headers();
    if reply_kind == ReplyKind::Grpc {
        head.add(Name::Status, b"200");
        head.add(Name::ContentType, b"application/grpc");
        if let Some(pushback) = failure.pushback() {
            head.add_named(b"grpc-retry-pushback-ms", pushback.as_millis().to_string().as_bytes());
        }
        end_with_status(front, &mut head, failure, |head| front.send_head(head, true));
    } else {
        head.add(Name::Status, status);
        head.add(Name::ContentType, b"text/plain; charset=utf-8");
        if let Some(pushback) = failure.pushback() {
            let seconds = pushback.as_millis().div_ceil(1000);
            head.add_named(b"retry-after", seconds.to_string().as_bytes());
        }
        if front.send_head(&head, reply_kind == ReplyKind::Head).is_err() {
            // The client is gone, or its header list limit is even smaller than this.
            front.reset(ErrorCode::INTERNAL_ERROR);
        }
        if reply_kind == ReplyKind::Http {
            // Errors mean that the client is gone.
            let _ = front.send_data(words.as_bytes(), false);
            let _ = front.send_data(b"\n", true);
        }
    }
    front.conn().worker().recycle(head);
    front.discard();
}
