//! What a request's task waits for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::attempt::Attempt;
use super::forward::Request;
use super::stream_watch::StreamWatch;
use crate::http2::Headers;
use crate::net::{Over, Stream};

/// What happened on either side of a request.
pub enum News {
    Informational(Headers),
    Head(Headers, bool),
    Trailers(Headers),
    Ended,
    RequestTrailers(Headers),
    ClientGone,
    BackOver(Over),
    Idle,
    CutOff,
}

impl Request {
    /// The next thing that happened. What a backend sent before its stream was reset, or its
    /// connection lost, comes first. Until then, `watch` looks whether it is a stream.
    pub(super) async fn news(
        &self,
        attempt: &Attempt,
        back: &Rc<Stream>,
        mut watch: Option<&mut StreamWatch>,
    ) -> News {
        let timeout = self.front.conn().stream_idle_timeout();
        let mut idle = pin!(timeout.map(|timeout| self.proxy.worker.sleep(timeout)));
        poll_fn(|cx| {
            self.front.register(cx);
            back.register(cx);
            if let Some(news) = self.ready(back) {
                return Poll::Ready(news);
            }
            if let Some(watch) = &mut watch {
                watch.poll(cx, &self.proxy.worker, attempt, Some(&self.front), back);
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
        if self.proxy.worker.is_cut_off() {
            return Some(News::CutOff);
        }
        self.front.take_trailers().map(News::RequestTrailers)
    }
}

/// Has the task polled again, so that a new timer is set.
fn wake_later<T>(cx: &mut Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}
