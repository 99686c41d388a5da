//! The whole story of a request: route, pick, open, splice, outcome.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::attempt::Attempt;
use super::fields;
use super::front::Proxy;
use super::reject::{Failure, reply, truncate};
use super::target::Target;
use crate::http2::{Cause, ErrorCode, Headers, Name};
use crate::model::{Code, GrpcCode, RouteQuery, Time};
use crate::net::{Over, Stream, splice};
use crate::upstream::OpenError;

/// Bytes of a request's body that are kept until it is known that no second try is needed.
const REPLAY: usize = 64 << 10;

/// Heads larger than this are not kept for a second try: many of them would be a burden.
const REPLAY_HEAD: usize = 8 << 10;

/// Backends that one request is offered to.
const MOST_TRIES: usize = 8;

/// What a request is, from the moment it came.
struct Request {
    proxy: Rc<Proxy>,
    front: Rc<Stream>,
    head: Headers,
    /// The head was all.
    end: bool,
    grpc: bool,
    started: Time,
}

/// What happened on either side.
enum News {
    Informational(Headers),
    Head(Headers, bool),
    Trailers(Headers),
    Ended,
    RequestTrailers(Headers),
    ClientGone,
    BackOver(Over),
    Idle,
}

/// Carries one request from its head to its outcome.
pub async fn forward(proxy: Rc<Proxy>, front: Rc<Stream>, head: Headers, end: bool) {
    let request = Request {
        grpc: fields::is_grpc(&head),
        started: proxy.worker.now(),
        proxy,
        front,
        head,
        end,
    };
    if let Err(failure) = request.run().await {
        request.proxy.count_rejection(failure);
        reply(&request.front, request.grpc, failure);
    }
    request.finish().await;
    let Request { proxy, head, .. } = request;
    proxy.worker.recycle(head);
}

impl Request {
    /// Finds a backend that answers, and relays its answer. An error means that no head of a
    /// response was sent.
    async fn run(&self) -> Result<(), Failure> {
        let target = self.route()?;
        target.count_request();
        let mut tried = Tried::default();
        let mut last = Failure::NoBackend;
        let mut refused = false;
        while !tried.is_full() {
            let view = target.view();
            let Some(index) = view.pick(&self.proxy.worker, &self.head, tried.indices()) else {
                break;
            };
            // One that could not be reached is not asked again; one that refused may be, once.
            if tried.indices().contains(&index) && last != Failure::BackendRefused {
                break;
            }
            tried.push(index);
            let attempt = Attempt::begin(view, index, self.proxy.worker.now());
            let back = match self.open(&attempt).await {
                Ok(Some(back)) => back,
                Ok(None) => return Ok(()), // the client is gone
                Err(failure @ Failure::TooLargeForBackend) => return Err(failure),
                Err(failure) => {
                    attempt.fail(self.proxy.worker.now());
                    last = failure;
                    continue;
                }
            };
            let result = self.relay(&attempt, &back, refused).await;
            back.detach();
            match result {
                Err(Failure::BackendRefused) if !refused && self.may_retry(target) => {
                    refused = true;
                    last = Failure::BackendRefused;
                }
                Err(failure) => {
                    let code = failure.code(self.grpc);
                    attempt.on_end(&self.proxy.worker, self.started, code, None);
                    return Err(failure);
                }
                Ok(()) => return Ok(()),
            }
        }
        Err(last)
    }

    fn route(&self) -> Result<&Target, Failure> {
        if self.head.get(Name::Method) == Some(b"CONNECT") {
            return Err(Failure::ConnectMethod);
        }
        let query = RouteQuery {
            authority: fields::authority(&self.head),
            path: self.head.get(Name::Path).unwrap_or_default(),
            grpc: self.grpc,
        };
        let route = self.proxy.routes.find(&query).ok_or(Failure::NoRoute)?;
        let service = route.choose(&mut self.proxy.worker.rng().borrow_mut());
        self.proxy.targets.get(service).ok_or(Failure::NoRoute)
    }

    /// Sends the head to the backend; `None` when the client went away meanwhile.
    async fn open(&self, attempt: &Attempt) -> Result<Option<Rc<Stream>>, Failure> {
        if self.front.over().is_some() {
            return Ok(None);
        }
        let pool = attempt.pool();
        let head = fields::request(&self.head, pool.scheme(), self.grpc);
        let opened = match pool.try_open(head, self.end) {
            Some(opened) => opened.map(Some),
            // Waiting is rare, and its state large: every task would carry it.
            None => Box::pin(self.wait_open(attempt)).await,
        };
        opened.map_err(|error| match error {
            OpenError::Connect => Failure::Connect,
            OpenError::Full => Failure::Overloaded,
            OpenError::TooLarge => Failure::TooLargeForBackend,
        })
    }

    async fn wait_open(&self, attempt: &Attempt) -> Result<Option<Rc<Stream>>, OpenError> {
        let pool = attempt.pool();
        let head = fields::request(&self.head, pool.scheme(), self.grpc);
        let mut open = pin!(pool.open(head, self.end));
        poll_fn(|cx| {
            if self.front.over().is_some() {
                return Poll::Ready(Ok(None));
            }
            self.front.register(cx);
            open.as_mut().poll(cx).map_ok(Some)
        })
        .await
    }

    /// Whether what the backend has refused may be sent again: it is all still here, and the
    /// service's budget has room.
    fn may_retry(&self, target: &Target) -> bool {
        let replay = self.front.replay();
        if self.head.list_size() > REPLAY_HEAD || (replay.is_none() && !self.end) {
            return false;
        }
        let granted = target.may_retry();
        if granted {
            self.front.rewind(replay.unwrap_or_default());
        }
        granted
    }

    /// Moves the body both ways and passes on the head of the response and all after it. An
    /// error means that no head of a response was sent.
    async fn relay(
        &self,
        attempt: &Attempt,
        back: &Rc<Stream>,
        again: bool,
    ) -> Result<(), Failure> {
        if !self.end {
            splice(&self.front, back, (!again).then_some(REPLAY));
        }
        let (head, end) = match self.response_head(attempt, back).await? {
            Some(head) => head,
            None => return Ok(()),
        };
        self.front.drop_replay();
        attempt.on_head(&self.proxy.worker, self.started, end || back.is_whole());
        if self.front.send_head(fields::response(&head), end).is_err() {
            return self.refused_by_client(attempt, back);
        }
        let status = fields::status(&head);
        let code = if end && self.grpc { grpc_code(&head) } else { Code::Http(status) };
        self.proxy.worker.recycle(head);
        if end {
            self.end(attempt, back, code);
            return Ok(());
        }
        splice(back, &self.front, None);
        self.relay_rest(attempt, back, status).await;
        Ok(())
    }

    /// Waits for the head; `None` when the client went away.
    async fn response_head(
        &self,
        attempt: &Attempt,
        back: &Rc<Stream>,
    ) -> Result<Option<(Headers, bool)>, Failure> {
        loop {
            match self.news(back).await {
                News::Head(head, end) => return Ok(Some((head, end))),
                News::Informational(head) => {
                    if !self.grpc {
                        // The final response says whether the client is still there.
                        let _ = self.front.send_informational(&head);
                    }
                    self.proxy.worker.recycle(head);
                }
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
                News::Trailers(trailers) => self.proxy.worker.recycle(trailers),
                News::Ended => return Err(Failure::BackendMalformed),
            }
        }
    }

    /// After the head: the streams are spliced, and only their ends matter.
    async fn relay_rest(&self, attempt: &Attempt, back: &Rc<Stream>, status: u16) {
        loop {
            match self.news(back).await {
                News::Trailers(trailers) => {
                    let code = if self.grpc { grpc_code(&trailers) } else { Code::Http(status) };
                    if self.front.send_trailers(&trailers).is_err() {
                        self.front.reset(ErrorCode::INTERNAL_ERROR);
                    }
                    self.proxy.worker.recycle(trailers);
                    return self.end(attempt, back, code);
                }
                News::Ended => {
                    let unknown = Code::Grpc(GrpcCode::Unknown);
                    let code = if self.grpc { unknown } else { Code::Http(status) };
                    return self.end(attempt, back, code);
                }
                News::ClientGone => return self.cancelled(attempt, back),
                News::BackOver(over) => match failure(over) {
                    Some(failure) => return self.truncated(attempt, failure),
                    None => return self.pass_reset(attempt, over),
                },
                News::Idle => {
                    attempt.pool().cancel(back);
                    return self.truncated(attempt, Failure::Idle);
                }
                News::RequestTrailers(trailers) => self.send_request_trailers(back, trailers),
                News::Head(headers, _) | News::Informational(headers) => {
                    self.proxy.worker.recycle(headers);
                }
            }
        }
    }

    /// The next thing that happened. What a backend sent before its stream was reset, or its
    /// connection lost, comes first.
    async fn news(&self, back: &Rc<Stream>) -> News {
        let timeout = self.front.conn().stream_idle_timeout();
        let mut idle = pin!(timeout.map(|timeout| self.proxy.worker.sleep(timeout)));
        poll_fn(|cx| {
            self.front.register(cx);
            back.register(cx);
            if let Some(news) = self.ready(back) {
                return Poll::Ready(news);
            }
            let Some(sleep) = idle.as_mut().as_pin_mut() else { return Poll::Pending };
            if sleep.poll(cx).is_pending() {
                return Poll::Pending;
            }
            let active = self.front.last_active().max(back.last_active());
            let quiet = self.proxy.worker.now().since(active);
            let left = timeout.unwrap_or_default().saturating_sub(quiet);
            if left.is_zero() {
                return Poll::Ready(News::Idle);
            }
            idle.set(Some(self.proxy.worker.sleep(left)));
            wake_later(cx)
        })
        .await
    }

    fn ready(&self, back: &Stream) -> Option<News> {
        if let Some(head) = back.take_informational() {
            return Some(News::Informational(head));
        }
        if let Some((head, end)) = back.take_head() {
            return Some(News::Head(head, end));
        }
        if let Some(trailers) = back.take_trailers() {
            return Some(News::Trailers(trailers));
        }
        if back.has_ended() {
            return Some(News::Ended);
        }
        if self.front.over().is_some() {
            return Some(News::ClientGone);
        }
        if let Some(over) = back.over() {
            return Some(News::BackOver(over));
        }
        self.front.take_trailers().map(News::RequestTrailers)
    }

    fn send_request_trailers(&self, back: &Stream, trailers: Headers) {
        // A backend that has ended, or takes no such trailers, speaks for itself.
        let _ = back.send_trailers(&trailers);
        self.proxy.worker.recycle(trailers);
    }

    /// The response is whole.
    fn end(&self, attempt: &Attempt, back: &Stream, code: Code) {
        let answered = if self.grpc { back.single_message_at() } else { None };
        attempt.on_end(&self.proxy.worker, self.started, code, answered);
        if back.over().is_some() || !back.is_open() {
            self.front.discard(); // the backend wants no more of the request
        }
    }

    /// The client gave up.
    fn cancelled(&self, attempt: &Attempt, back: &Stream) {
        let code = if self.grpc { Code::Grpc(GrpcCode::Cancelled) } else { Code::Http(499) };
        attempt.on_end(&self.proxy.worker, self.started, code, None);
        attempt.pool().cancel(back);
    }

    /// The backend's response broke off.
    fn truncated(&self, attempt: &Attempt, failure: Failure) {
        attempt.on_end(&self.proxy.worker, self.started, failure.code(self.grpc), None);
        truncate(&self.front, self.grpc, failure);
    }

    /// The backend reset the stream: so is the client's, with the same code, from which its
    /// library concludes what it would have concluded from the backend's.
    fn pass_reset(&self, attempt: &Attempt, over: Over) {
        let Over::Reset { code, .. } = over else { return };
        let counted = if self.grpc { Code::Grpc(status_of_reset(code)) } else { Code::Http(502) };
        attempt.on_end(&self.proxy.worker, self.started, counted, None);
        self.front.reset(code);
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

    /// Waits until the client has taken everything, or does not for too long.
    async fn finish(&self) {
        let timeout = self.front.conn().stream_idle_timeout();
        let mut idle = pin!(timeout.map(|timeout| self.proxy.worker.sleep(timeout)));
        poll_fn(|cx| {
            if !self.front.is_open() || self.front.over().is_some() {
                return Poll::Ready(());
            }
            self.front.register(cx);
            match idle.as_mut().as_pin_mut() {
                Some(sleep) => sleep.poll(cx),
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

/// The backends that a request was offered to.
#[derive(Default)]
struct Tried {
    indices: [usize; MOST_TRIES],
    len: usize,
}

impl Tried {
    fn push(&mut self, index: usize) {
        if let Some(slot) = self.indices.get_mut(self.len) {
            *slot = index;
            self.len += 1;
        }
    }

    fn indices(&self) -> &[usize] {
        self.indices.get(..self.len).unwrap_or_default()
    }

    fn is_full(&self) -> bool {
        self.len == MOST_TRIES
    }
}

/// Has the task polled again, so that a new timer is set.
fn wake_later<T>(cx: &mut Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
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
fn grpc_code(headers: &Headers) -> Code {
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

#[cfg(test)]
mod tests {
    /// Every request carries a future of this size around: it is copied when the task is made.
    #[test]
    fn the_future_stays_small() {
        fn size<F, A, B, C, D>(_: fn(A, B, C, D) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(super::forward);
        assert!(size <= 640, "{size} bytes");
    }
}
