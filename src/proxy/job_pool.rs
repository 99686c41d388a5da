//! Job pool: a job serves one request after the other, since allocating and dropping its future is a
//! large part of the cost of a small request.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::exchange::Exchange;
use super::front::Proxy;
use crate::http::Headers;
use crate::net::{JobId, Stream};

/// Limit of idle jobs kept; more end with their request.
const MAX_IDLE: usize = 256;

/// An incoming request.
pub struct Request {
    /// The client's stream.
    pub front: Rc<Stream>,
    pub head: Headers,
    /// No body or trailers follow.
    pub end: bool,
}

/// The jobs of one worker.
#[derive(Default)]
pub struct JobPool {
    idle: RefCell<Vec<(JobId, Rc<Mailbox>)>>,
}

/// Mailbox of a job for its next request.
#[derive(Default)]
struct Mailbox {
    next: Cell<Option<Request>>,
}

impl JobPool {
    /// Serves `request` on an idle or new job, polling it at once.
    pub fn serve(&self, proxy: &Rc<Proxy>, request: Request) {
        let idle = self.idle.borrow_mut().pop();
        match idle {
            Some((job, mailbox)) => {
                mailbox.next.set(Some(request));
                proxy.worker.poll_job(job);
            }
            None => {
                let mailbox = Rc::<Mailbox>::default();
                mailbox.next.set(Some(request));
                proxy.worker.start(serve_requests(Rc::clone(proxy), mailbox));
            }
        }
    }

    /// Puts a job back into the pool; `false` if the pool is full. The most recent one is reused
    /// first.
    fn release(&self, job: JobId, mailbox: &Rc<Mailbox>) -> bool {
        let mut idle = self.idle.borrow_mut();
        let room = idle.len() < MAX_IDLE;
        if room {
            idle.push((job, Rc::clone(mailbox)));
        }
        room
    }
}

async fn serve_requests(proxy: Rc<Proxy>, mailbox: Rc<Mailbox>) {
    loop {
        let Request { front, head, end } = mailbox.next().await;
        Exchange::accept(&proxy, front, head, end).serve().await;
        let job = proxy.worker.current_job();
        if !job.is_some_and(|job| proxy.jobs.release(job, &mailbox)) {
            return;
        }
    }
}

impl Mailbox {
    async fn next(&self) -> Request {
        poll_fn(|_| self.next.take().map_or(Poll::Pending, Poll::Ready)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every request in flight has a future of this size.
    #[test]
    fn the_future_stays_small() {
        fn size<F, A, B>(_: fn(A, B) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(serve_requests);
        assert!(size <= 600, "{size} bytes");
    }
}
