//! Tasks that carry one request after the other: to make a task and to end it costs more than
//! much of what a small request wants done.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::exchange::Exchange;
use crate::net::Worker;

/// Tasks that wait for their next request; what is beyond that ends with its request.
const MOST_IDLE: usize = 256;

/// The tasks of one worker.
#[derive(Default)]
pub struct Lanes {
    idle: RefCell<Vec<Rc<Lane>>>,
}

/// Where a waiting task finds its next request.
#[derive(Default)]
struct Lane {
    next: Cell<Option<Exchange>>,
    waker: RefCell<Option<Waker>>,
}

impl Lanes {
    /// Has a task carry `exchange`.
    pub fn carry(self: &Rc<Self>, worker: &Worker, exchange: Exchange) {
        let Some(lane) = self.idle.borrow_mut().pop() else {
            return worker.spawn(Rc::clone(self).run(exchange));
        };
        lane.next.set(Some(exchange));
        if let Some(waker) = &*lane.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn run(self: Rc<Self>, first: Exchange) -> impl Future<Output = ()> {
        let lane = Rc::new(Lane::default());
        lane.next.set(Some(first));
        async move {
            loop {
                let exchange = lane.next().await;
                exchange.carry().await;
                drop(exchange);
                if self.idle.borrow().len() >= MOST_IDLE {
                    return;
                }
                self.idle.borrow_mut().push(Rc::clone(&lane));
            }
        }
    }
}

impl Lane {
    async fn next(&self) -> Exchange {
        poll_fn(|cx| {
            if let Some(exchange) = self.next.take() {
                return Poll::Ready(exchange);
            }
            self.waker.borrow_mut().get_or_insert_with(|| cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every request under way has a future of this size.
    #[test]
    fn the_future_stays_small() {
        fn size<F, A, B>(_: fn(A, B) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(Lanes::run);
        assert!(size <= 600, "{size} bytes");
    }
}
