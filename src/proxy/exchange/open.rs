//! Opens the stream to the backend of an attempt, sending the request head.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use super::super::failure::Failure;
use super::super::fields::RequestHead;
use super::start::AttemptError;
use super::{Attempt, Exchange};
use crate::net::Stream;
use crate::upstream::{OpenError, Pool, Version};

impl Exchange {
    /// Sends the head to the backend once a stream is available. On an error the backend has
    /// received nothing.
    pub(super) async fn open(&self, attempt: &Attempt) -> Result<(), AttemptError> {
        if self.front.over().is_some() {
            return Err(AttemptError::ClientGone);
        }
        let worker = &self.proxy.worker;
        if let Some(limit) = self.timeouts.borrow().expired(worker.now()) {
            return Err(Failure::Expired(limit).into());
        }
        let back = match self.try_open(attempt) {
            Some(opened) => opened.map_err(Failure::from)?,
            // Boxed: waiting is rare, and its state would enlarge every exchange's future.
            None => {
                let opened = Box::pin(self.wait_open(attempt.pool())).await;
                attempt.restart_latency(worker.now());
                opened?
            }
        };
        self.opened(attempt, back);
        Ok(())
    }

    /// Sends the head to the backend of an attempt beside another, once a stream is available.
    pub(super) fn open_for<'x>(
        &'x self,
        attempt: &Attempt,
    ) -> Pin<Box<dyn Future<Output = Result<Rc<Stream>, AttemptError>> + 'x>> {
        let pool = Rc::clone(attempt.pool());
        Box::pin(async move { self.wait_open(&pool).await })
    }

    /// Sends the whole of the body, which is held, after a head.
    pub(super) fn send_whole(&self, attempt: &Attempt, back: Rc<Stream>) {
        attempt.restart_latency(self.proxy.worker.now());
        if !self.ends_with_head(attempt.pool()) {
            self.front.send_held(&back);
        }
        self.opened(attempt, back);
    }

    fn try_open(&self, attempt: &Attempt) -> Option<Result<Rc<Stream>, OpenError>> {
        let (pool, worker) = (attempt.pool(), &self.proxy.worker);
        let deadline = self.timeouts.borrow().deadline();
        let head = self.head.borrow();
        let client = Some(&**self.front.conn());
        let head = RequestHead::new(&head, pool, self.grpc)
            .until(deadline, worker)
            .after(self.attempts.get().saturating_sub(1).into());
        pool.try_open(head, self.ends_with_head(pool), client)
    }

    #[inline(always)] // one of its two calls is of every request
    fn opened(&self, attempt: &Attempt, back: Rc<Stream>) {
        if self.grpc {
            back.count_messages();
        }
        let limits = [&self.front, &back].map(|stream| stream.conn().stream_idle_timeout());
        self.timeouts.borrow_mut().idle_within(limits);
        attempt.sent_on(back);
    }

    /// Whether the backend's stream ends with the head. An upgrade over HTTP/2 does, as HTTP/2 does not
    /// support it.
    fn ends_with_head(&self, pool: &Pool) -> bool {
        self.end || (pool.version() == Version::Http2 && self.is_upgrade())
    }

    async fn wait_open(&self, pool: &Pool) -> Result<Rc<Stream>, AttemptError> {
        let worker = &self.proxy.worker;
        let head = self.head.borrow().clone();
        let deadline = self.timeouts.borrow().deadline();
        let head = RequestHead::new(&head, pool, self.grpc)
            .until(deadline, worker)
            .after(self.attempts.get().saturating_sub(1).into());
        let client = Some(&**self.front.conn());
        let opened = self.unless_ended(pool.open(head, self.ends_with_head(pool), client)).await?;
        Ok(opened.map_err(Failure::from)?)
    }

    /// Awaits `future` before the request is sent, unless the client cancels, a timeout expires or the
    /// gateway shuts down.
    pub(super) async fn unless_ended<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> Result<T, AttemptError> {
        let (worker, mut future) = (&self.proxy.worker, pin!(future));
        poll_fn(|cx| {
            if self.front.over().is_some() {
                return Poll::Ready(Err(AttemptError::ClientGone));
            }
            if worker.is_cut_off() {
                return Poll::Ready(Err(Failure::ShuttingDown.into()));
            }
            let elapsed = self.timeouts.borrow_mut().poll(cx, worker, || worker.now());
            if let Some(elapsed) = elapsed {
                return Poll::Ready(Err(Failure::from(elapsed).into()));
            }
            self.front.register_but_for_body(cx);
            future.as_mut().poll(cx).map(Ok)
        })
        .await
    }
}
