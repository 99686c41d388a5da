//! Events of an exchange, from the client's and the backend's stream, once the request was sent.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll};

use super::super::failure::Failure;
use super::start::AttemptError;
use super::{Attempt, Elapsed, Exchange};
use crate::http::{Cause, ErrorCode, Headers};
use crate::net::{Over, Stream};

/// An event on either stream.
pub enum Event {
    Informational(Headers),
    Head(Headers, bool),
    Trailers(Headers),
    Ended,
    RequestTrailers(Headers),
    Error(AttemptError),
}

impl Exchange {
    /// The next event. Input that was received before the backend's stream was reset, or its connection
    /// was lost, comes first. While pending, checks whether the response is a stream.
    pub(super) fn next_event(&self, attempt: &Attempt) -> impl Future<Output = Event> {
        poll_fn(move |cx| self.poll_event(cx, attempt))
    }

    pub(super) fn poll_event(&self, cx: &mut Context<'_>, attempt: &Attempt) -> Poll<Event> {
        let Some(back) = attempt.back() else {
            return Poll::Ready(Event::Error(Failure::BackendLost.into()));
        };
        if let Some(event) = self.ready(attempt, back) {
            return Poll::Ready(event);
        }
        self.front.register_but_for_body(cx);
        back.register(cx);
        attempt.detect_stream(cx, &self.proxy.worker, Some(&self.front), back);
        self.follow(attempt);
        if back.conn().is_silent() && self.is_overdue(attempt) {
            back.conn().ask();
        }
        let active = || self.front.last_active().max(back.last_active());
        match self.timeouts.borrow_mut().poll(cx, &self.proxy.worker, active) {
            Some(elapsed) => Poll::Ready(Event::Error(Failure::from(elapsed).into())),
            None => Poll::Pending,
        }
    }

    fn ready(&self, attempt: &Attempt, back: &Stream) -> Option<Event> {
        if let Some(head) = back.take_informational() {
            return Some(Event::Informational(head));
        }
        if let Some((head, end)) = back.take_head() {
            return Some(Event::Head(head, end));
        }
        if let Some(trailers) = back.take_trailers() {
            return Some(Event::Trailers(trailers));
        }
        if back.has_ended() {
            return Some(Event::Ended);
        }
        if self.front.over().is_some() {
            return Some(Event::Error(AttemptError::ClientGone));
        }
        if let Some(over) = back.over() {
            return Some(Event::Error(match over {
                Over::Lost => attempt.lost().into(),
                over => AttemptError::from_over(over),
            }));
        }
        if self.proxy.worker.is_cut_off() {
            return Some(Event::Error(Failure::CutOff.into()));
        }
        self.front.take_trailers().map(Event::RequestTrailers)
    }
}

impl From<Elapsed> for Failure {
    fn from(elapsed: Elapsed) -> Failure {
        match elapsed {
            Elapsed::Idle => Failure::Idle,
            Elapsed::Deadline(limit) => Failure::Expired(limit),
        }
    }
}

impl AttemptError {
    /// The error for the way in which a backend's stream ended.
    fn from_over(over: Over) -> AttemptError {
        AttemptError::Failed(match over {
            Over::Reset { cause: Cause::Unprocessed, .. }
            | Over::Reset { code: ErrorCode::REFUSED_STREAM, cause: Cause::Peer } => {
                Failure::BackendRefused
            }
            Over::Reset { code, cause: Cause::Peer } => return AttemptError::Reset(code),
            Over::Reset { cause: Cause::Malformed(_), .. } => Failure::BackendMalformed,
            Over::Reset { cause: Cause::TooLarge, .. } => Failure::ResponseTooLarge,
            Over::Lost | Over::Fault | Over::Overflow => Failure::BackendLost,
        })
    }
}
