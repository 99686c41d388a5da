//! Job pool: a job serves one request after the other, as allocating and dropping its future costs
//! much of a small request.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::exchange::Exchange;
use super::front::Proxy;
use crate::http::Headers;
use crate::net::{JobId, Stream};

/// Limit of idle jobs kept; more end with their request.
const MOST_IDLE: usize = 256;

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
pub struct Lanes {
    idle: RefCell<Vec<(JobId, Rc<Lane>)>>,
}

/// Mailbox of a job for its next request.
#[derive(Default)]
struct Lane {
    next: Cell<Option<Request>>,
}

impl Lanes {
    /// Serves `request` on an idle or new job, polling it at once.
    pub fn carry(&self, proxy: &Rc<Proxy>, request: Request) {
        let idle = self.idle.borrow_mut().pop();
        match idle {
            Some((job, lane)) => {
                lane.next.set(Some(request));
                proxy.worker.poll_job(job);
            }
            None => {
                let lane = Rc::<Lane>::default();
                lane.next.set(Some(request));
                proxy.worker.start(run(Rc::clone(proxy), lane));
            }
        }
    }

    /// Puts a job back into the pool; `false` if the pool is full. The most recent one is reused
    /// first.
    fn wait(&self, job: JobId, lane: &Rc<Lane>) -> bool {
        let mut idle = self.idle.borrow_mut();
        let room = idle.len() < MOST_IDLE;
        if room {
            idle.push((job, Rc::clone(lane)));
        }
        room
    }
}

async fn run(proxy: Rc<Proxy>, lane: Rc<Lane>) {
    loop {
        let Request { front, head, end } = lane.next().await;
        Exchange::accept(&proxy, front, head, end).carry().await;
        let job = proxy.worker.current_job();
        if !job.is_some_and(|job| proxy.lanes.wait(job, &lane)) {
            return;
        }
    }
}

impl Lane {
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
        let size = size(run);
        assert!(size <= 600, "{size} bytes");
    }
}
