//! From a backend's stream to the outcome: the head of the response, then all after it.

use std::rc::Rc;

use super::attempt::Attempt;
use super::fields::ResponseHead;
use super::forward::Request;
use super::news::News;
use super::reject::{Failure, truncate};
use super::stream_watch::{SECOND_MESSAGE, StreamWatch};
use super::{fields, filter};
use crate::http2::{Cause, ErrorCode, Headers, Name, SendError};
use crate::model::{Break, Code, Ending, GrpcCode, Time};
use crate::net::{Over, Stream, splice};
use crate::upstream::Version;

/// Bytes of a request's body that are kept until it is known that no second try is needed.
const REPLAY: usize = 64 << 10;

impl Request {
    /// Moves the body both ways and passes on the head of the response and all after it. An
    /// error means that no head of a response was sent.
    pub(super) async fn relay(
        &self,
        attempt: &Attempt,
        back: &Rc<Stream>,
        again: bool,
    ) -> Result<(), Failure> {
        if !self.end && !self.is_upgrade() {
            self.invite_body(attempt);
            if attempt.is_stream() {
                attempt.meter_requests(&self.front);
            }
            splice(&self.front, back, (!again).then_some(REPLAY));
        }
        let (mut head, end) = match self.response_head(attempt, back).await? {
            Some(head) => head,
            None => return Ok(()),
        };
        if let Some(filters) = self.filters.get() {
            filter::response(filters, &mut head, &self.proxy.worker);
        }
        self.front.drop_replay();
        attempt.on_head(&self.proxy.worker, back, self.grpc);
        if !end && !back.is_whole() {
            attempt.note_method();
        }
        self.drop_head();
        if self.send_head(attempt, &head, end).is_err() {
            return self.refused_by_client(attempt, back);
        }
        let status = fields::status(&head);
        let code = if end && self.grpc { grpc_code(&head) } else { Code::Http(status) };
        let is_event_stream = !self.grpc && fields::is_event_stream(&head);
        self.proxy.worker.recycle(head);
        if end {
            self.answered(attempt, back, code);
            return Ok(());
        }
        if status == 101 || is_event_stream {
            attempt.become_stream(&self.proxy.worker, Some(&self.front), back);
        }
        if status == 101 {
            // Only now is it sure that these bytes are no further request.
            splice(&self.front, back, None);
        }
        splice(back, &self.front, None);
        self.relay_rest(attempt, back, status).await;
        Ok(())
    }

    /// Passes the head of the response on, with the cookie that was drawn for the client, if any.
    fn send_head(&self, attempt: &Attempt, head: &Headers, end: bool) -> Result<(), SendError> {
        let secure = self.front.conn().is_tls();
        let cookie = self.issued.get().and_then(|issued| attempt.set_cookie(issued, secure));
        self.front.send_head(ResponseHead::new(head, cookie.as_ref()), end)
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

    /// Waits for the head; `None` when the client went away.
    async fn response_head(
        &self,
        attempt: &Attempt,
        back: &Rc<Stream>,
    ) -> Result<Option<(Headers, bool)>, Failure> {
        loop {
            match self.news(attempt, back, None).await {
                News::Head(head, end) => return Ok(Some((head, end))),
                News::Informational(head) => self.pass_informational(head),
                News::RequestTrailers(trailers) => self.send_request_trailers(back, trailers),
                News::ClientGone => {
                    attempt.on_patience_lost(self.proxy.worker.now());
                    self.cancelled(attempt, back);
                    return Ok(None);
                }
                News::BackOver(over) => match failure(over) {
                    Some(failure) => return Err(failure),
                    None => {
                        self.pass_reset(attempt, over);
                        return Ok(None);
                    }
                },
                News::Idle => {
                    attempt.pool().cancel(back);
                    return Err(Failure::Idle);
                }
                News::CutOff => {
                    attempt.pool().cancel(back);
                    return Err(Failure::CutOff);
                }
                News::Trailers(trailers) => self.proxy.worker.recycle(trailers),
                News::Ended => return Err(Failure::BackendMalformed),
            }
        }
    }

    /// After the head: the streams are spliced, and only their ends matter.
    async fn relay_rest(&self, attempt: &Attempt, back: &Rc<Stream>, status: u16) {
        let mut watch = StreamWatch::default();
        loop {
            match self.news(attempt, back, Some(&mut watch)).await {
                News::Trailers(trailers) => {
                    let code = self.pass_trailers(&trailers, status);
                    self.proxy.worker.recycle(trailers);
                    return self.answered(attempt, back, code);
                }
                News::Ended => {
                    let unknown = Code::Grpc(GrpcCode::Unknown);
                    let code = if self.grpc { unknown } else { Code::Http(status) };
                    return self.answered(attempt, back, code);
                }
                News::ClientGone => return self.cancelled(attempt, back),
                News::BackOver(over) => match failure(over) {
                    // Behind a head only trailers can be too large, and the body is whole without.
                    Some(Failure::ResponseTooLarge) if !self.grpc => {
                        let _ = self.front.send_data(&[], true); // who is gone needs no end
                        return self.answered(attempt, back, Code::Http(status));
                    }
                    Some(failure) => return self.truncated(attempt, failure),
                    None => return self.pass_reset(attempt, over),
                },
                News::Idle => {
                    attempt.pool().cancel(back);
                    return self.truncated(attempt, Failure::Idle);
                }
                News::CutOff => {
                    attempt.pool().cancel(back);
                    return self.truncated(attempt, Failure::CutOff);
                }
                News::RequestTrailers(trailers) => self.send_request_trailers(back, trailers),
                News::Head(headers, _) | News::Informational(headers) => {
                    self.proxy.worker.recycle(headers);
                }
            }
        }
    }

    /// Ends the client's response as the backend's has ended. The code that the client learns.
    ///
    /// Trailers that a client does not take for their size cost gRPC its status: another one says
    /// so. Elsewhere a body is whole without them.
    fn pass_trailers(&self, trailers: &Headers, status: u16) -> Code {
        match self.front.send_trailers(trailers) {
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
        }
    }

    /// Passes the request's trailers on. Without those that a backend does not take for their
    /// size the body is whole nevertheless; gRPC has none.
    fn send_request_trailers(&self, back: &Stream, trailers: Headers) {
        self.sent_trailers.set(true);
        if back.send_trailers(&trailers) == Err(SendError::TooLarge) {
            let _ = back.send_data(&[], true); // a backend that has ended speaks for itself
        }
        self.proxy.worker.recycle(trailers);
    }

    /// The response is whole.
    fn answered(&self, attempt: &Attempt, back: &Stream, code: Code) {
        if back.messages() >= SECOND_MESSAGE {
            attempt.become_stream(&self.proxy.worker, Some(&self.front), back);
        }
        let answered = if self.grpc { back.single_message_at() } else { None };
        self.end(attempt, code, Ending::Answered(code), answered);
        // With the response the exchange is over, whatever of the request is still to come.
        if back.is_open() {
            attempt.pool().cancel(back);
        }
        self.front.discard();
    }

    /// The exchange is over, and is counted with `code`.
    pub(super) fn end(
        &self,
        attempt: &Attempt,
        code: Code,
        ending: Ending,
        answered: Option<Time>,
    ) {
        attempt.on_end(&self.proxy.worker, self.started, code, ending, answered);
        self.line.ended(attempt.pool().endpoint().address(), code);
    }

    /// The client gave up.
    fn cancelled(&self, attempt: &Attempt, back: &Stream) {
        let code = if self.grpc { Code::Grpc(GrpcCode::Cancelled) } else { Code::Http(499) };
        self.front.conn().note_given_up();
        self.end(attempt, code, Ending::ClientGone, None);
        attempt.pool().cancel(back);
    }

    /// The backend's response broke off.
    fn truncated(&self, attempt: &Attempt, failure: Failure) {
        self.end(attempt, failure.code(self.grpc), failure.ending(), None);
        truncate(&self.front, self.grpc, failure);
    }

    /// The backend reset the stream: so is the client's, with the same code, from which its
    /// library concludes what it would have concluded from the backend's.
    fn pass_reset(&self, attempt: &Attempt, over: Over) {
        let Over::Reset { code, .. } = over else { return };
        let counted = if self.grpc { Code::Grpc(status_of_reset(code)) } else { Code::Http(502) };
        let ending = match code {
            ErrorCode::INTERNAL_ERROR => Ending::Broken(Break::Crashed),
            _ => Ending::Reset,
        };
        self.end(attempt, counted, ending, None);
        // Some libraries take NO_ERROR for the regular end of a body; gRPC's do not.
        let clean = code == ErrorCode::NO_ERROR && !self.grpc;
        self.front.reset(if clean { ErrorCode::INTERNAL_ERROR } else { code });
    }

    /// The client does not take the response's head, for its size, or is gone.
    fn refused_by_client(&self, attempt: &Attempt, back: &Stream) -> Result<(), Failure> {
        if self.front.is_open() {
            attempt.pool().cancel(back);
            return Err(Failure::TooLargeForClient);
        }
        self.cancelled(attempt, back);
        Ok(())
    }
}

/// What the end of a backend's stream means, unless it is a reset to be passed on.
fn failure(over: Over) -> Option<Failure> {
    match over {
        Over::Reset { cause: Cause::Unprocessed, .. }
        | Over::Reset { code: ErrorCode::REFUSED_STREAM, cause: Cause::Peer } => {
            Some(Failure::BackendRefused)
        }
        Over::Reset { cause: Cause::Peer, .. } => None,
        Over::Reset { cause: Cause::Malformed(_), .. } => Some(Failure::BackendMalformed),
        Over::Reset { cause: Cause::TooLarge, .. } => Some(Failure::ResponseTooLarge),
        Over::Lost | Over::Overflow => Some(Failure::BackendLost),
    }
}

/// The status in a trailer section, or in a head that is one.
pub(super) fn grpc_code(headers: &Headers) -> Code {
    match headers.get(Name::GrpcStatus) {
        Some(value) => Code::Grpc(GrpcCode::parse(value)),
        None => Code::Grpc(GrpcCode::Unknown),
    }
}

/// What gRPC's libraries make of a reset (gRPC over HTTP/2, "Errors").
fn status_of_reset(code: ErrorCode) -> GrpcCode {
    match code {
        ErrorCode::REFUSED_STREAM => GrpcCode::Unavailable,
        ErrorCode::CANCEL => GrpcCode::Cancelled,
        ErrorCode::ENHANCE_YOUR_CALM => GrpcCode::ResourceExhausted,
        ErrorCode::INADEQUATE_SECURITY => GrpcCode::PermissionDenied,
        _ => GrpcCode::Internal,
    }
}
