//! Sends response heads to the client; no other file does. Retries are possible before, never
//! after.

use super::super::fields::{self, ResponseHead};
use super::super::filter;
use super::super::reject::{Asked, Failure, end_with_status};
use super::start::{Broken, Response};
use super::{Attempt, Exchange, Outcome, grpc_code};
use crate::http::{ErrorCode, Headers, Name, SendError};
use crate::model::Code;
use crate::net::{Stream, splice};
use crate::route::Redirect;

/// Whether a committed response is complete.
pub enum Committed {
    /// Complete.
    Whole(Outcome),
    /// The body or trailers follow; the head had this status.
    Begun(u16),
}

impl Exchange {
    /// Commits to a backend's response: sends its head to the client and splices the bodies.
    pub(super) fn commit(&self, attempt: &Attempt, response: Response) -> Committed {
        let Response { mut head, end } = response;
        let Some(back) = attempt.back() else {
            return Committed::Whole(self.fail(attempt, Failure::BackendLost.into()));
        };
        if let Some(filters) = self.destination.get().and_then(|to| to.filters()) {
            filter::response(filters, &mut head, &self.proxy.worker);
        }
        self.front.forget_replay();
        attempt.on_head(&self.proxy.worker, back, self.grpc);
        if !end && !back.is_whole() {
            attempt.on_body();
        }
        self.drop_head();
        if self.send_head(attempt, &head, end).is_err() {
            return Committed::Whole(self.not_taken(attempt));
        }
        let status = fields::status(&head);
        let code = if end && self.grpc { grpc_code(&head) } else { Code::Http(status) };
        let is_event_stream = !self.grpc && fields::is_event_stream(&head);
        self.proxy.worker.recycle(head);
        if end {
            return Committed::Whole(self.answered(attempt, code));
        }
        if status == 101 || is_event_stream {
            attempt.become_stream(&self.proxy.worker, Some(&self.front), back);
            self.timeouts.borrow_mut().lift_deadline(); // a route's timeout is for calls only
        }
        if status == 101 {
            // Before the 101, these bytes could have been the client's next request.
            splice(&self.front, back, None);
        }
        splice(back, &self.front, None);
        Committed::Begun(status)
    }

    /// Forwards the response head, with the affinity cookie issued to the client, if any.
    fn send_head(&self, attempt: &Attempt, head: &Headers, end: bool) -> Result<(), SendError> {
        let secure = self.front.conn().is_tls();
        let cookie = self.issued.get().and_then(|issued| attempt.set_cookie(issued, secure));
        self.front.send_head(ResponseHead::new(head, cookie.as_ref()), end)
    }

    /// The head could not be sent: it exceeds the client's limit, or the client is gone.
    fn not_taken(&self, attempt: &Attempt) -> Outcome {
        match self.front.is_open() {
            true => self.fail(attempt, Failure::TooLargeForClient.into()),
            false => self.break_off(attempt, Broken::ClientGone),
        }
    }

    /// Answers with a redirect, and discards the rest of the request.
    pub(super) fn redirect(&self, redirect: &Redirect) -> Outcome {
        let asked = self.head.borrow();
        let authority = fields::authority(&asked);
        if authority.is_empty() && redirect.host.is_none() {
            return self.refuse(Failure::NoHost);
        }
        let mut location = Vec::new();
        let https = asked.get(Name::Scheme) == Some(b"https");
        let path = asked.get(Name::Path).unwrap_or_default();
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
pub fn reply(front: &Stream, asked: Asked, failure: Failure) {
    let (_, status, words) = failure.answer();
    let mut head = front.conn().worker().take_headers();
    if asked == Asked::Grpc {
        head.add(Name::Status, b"200");
        head.add(Name::ContentType, b"application/grpc");
        end_with_status(front, &mut head, failure, |head| front.send_head(head, true));
    } else {
        head.add(Name::Status, status);
        head.add(Name::ContentType, b"text/plain; charset=utf-8");
        if front.send_head(&head, asked == Asked::Head).is_err() {
            // The client is gone, or its header list limit is even smaller than this.
            front.reset(ErrorCode::INTERNAL_ERROR);
        }
        if asked == Asked::Http {
            // Errors mean that the client is gone.
            let _ = front.send_data(words.as_bytes(), false);
            let _ = front.send_data(b"\n", true);
        }
    }
    front.conn().worker().recycle(head);
    front.discard();
}
