//! A stream to the backend of an attempt, with the head of the request.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::super::fields::RequestHead;
use super::super::reject::Failure;
use super::start::Broken;
use super::{Attempt, Exchange};
use crate::net::Stream;
use crate::upstream::{Pool, Version};

impl Exchange {
    /// Sends the head to the backend, as soon as there is room. Of a client that went away, or
    /// another failure, the backend has heard nothing.
    pub(super) async fn open(&self, attempt: &Attempt) -> Result<(), Broken> {
        if self.front.over().is_some() {
            return Err(Broken::ClientGone);
        }
        let (pool, worker) = (attempt.pool(), &self.proxy.worker);
        let deadline = self.timeouts.borrow().deadline();
        if let Some(limit) = self.timeouts.borrow().expired(worker.now()) {
            return Err(Failure::Expired(limit).into());
        }
        if self.grpc && pool.version() == Version::Http1 {
            return Err(Failure::GrpcToHttp1.into());
        }
        let at_once = {
            let head = self.head.borrow();
            let client = Some(&**self.front.conn());
            let head = RequestHead::new(&head, pool, self.grpc).until(deadline, worker);
            pool.try_open(head, self.ends_for(pool), client)
        };
        let back = match at_once {
            Some(opened) => opened.map_err(Failure::from)?,
            // Waiting is rare, and its state large: every exchange would carry it.
            None => {
                let opened = Box::pin(self.wait_open(pool)).await;
                attempt.on_sent_late(worker.now());
                opened?
            }
        };
        if self.grpc {
            back.count_messages();
        }
        let limits = [&self.front, &back].map(|stream| stream.conn().stream_idle_timeout());
        self.timeouts.borrow_mut().idle_within(limits);
        attempt.sent_on(back);
        Ok(())
    }

    /// Whether nothing follows the head as a backend gets it: HTTP/2 has no other protocols.
    fn ends_for(&self, pool: &Pool) -> bool {
        self.end || (pool.version() == Version::Http2 && self.is_upgrade())
    }

    async fn wait_open(&self, pool: &Pool) -> Result<Rc<Stream>, Broken> {
        let worker = &self.proxy.worker;
        let head = self.head.borrow().clone();
        let deadline = self.timeouts.borrow().deadline();
        let head = RequestHead::new(&head, pool, self.grpc).until(deadline, worker);
        let client = Some(&**self.front.conn());
        let mut open = pin!(pool.open(head, self.ends_for(pool), client));
        poll_fn(|cx| {
            if self.front.over().is_some() {
                return Poll::Ready(Err(Broken::ClientGone));
            }
            if worker.is_cut_off() {
                return Poll::Ready(Err(Failure::ShuttingDown.into()));
            }
            let elapsed = self.timeouts.borrow_mut().poll(cx, worker, || worker.now());
            if let Some(elapsed) = elapsed {
                return Poll::Ready(Err(Failure::from(elapsed).into()));
            }
            self.front.register_but_for_body(cx);
            open.as_mut().poll(cx).map_err(|error| Failure::from(error).into())
        })
        .await
    }
}
