//! Flush queue: connections with output, each flushed once at the end of the turn, however often it
//! was written to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Connections with pending output, FIFO.
#[derive(Debug)]
pub struct FlushQueue<T> {
    waiting: RefCell<VecDeque<T>>,
    flusher: RefCell<Option<Waker>>,
}

impl<T> Default for FlushQueue<T> {
    fn default() -> FlushQueue<T> {
        FlushQueue { waiting: RefCell::default(), flusher: RefCell::default() }
    }
}

impl<T> FlushQueue<T> {
    /// Queues `who` for a flush at the end of this turn.
    pub fn push(&self, who: T) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back(who);
        if waiting.len() == 1
            && let Some(flusher) = &*self.flusher.borrow()
        {
            flusher.wake_by_ref();
        }
    }

    /// Flushes the queue until it is empty; then the turn is over, and `end` is called.
    ///
    /// The first push wakes this task, which then yields once, behind the tasks that became ready
    /// meanwhile. `flushed` is called after each round of a turn.
    pub async fn flush_forever(&self, flush: impl Fn(T), flushed: impl Fn(), end: impl Fn()) {
        let mut batch = Batch { queue: self, rest: VecDeque::new() };
        let mut waited = false;
        self.flusher.take(); // a stale waker of an earlier task
        let turns = poll_fn(|cx| {
            waited = !waited;
            if waited {
                cx.waker().wake_by_ref();
                return Poll::<()>::Pending;
            }
            let flusher = self.flusher.take(); // later pushes join this turn
            while batch.take() {
                while let Some(who) = batch.rest.pop_front() {
                    flush(who);
                }
                flushed();
            }
            end();
            self.flusher.replace(flusher.or_else(|| Some(cx.waker().clone())));
            Poll::Pending
        });
        // A turn flushes every connection, so tokio's coop budget must not cut it short.
        tokio::task::coop::unconstrained(turns).await;
    }
}

/// One round of flushes. If one panics, the rest are flushed in the next round.
struct Batch<'q, T> {
    queue: &'q FlushQueue<T>,
    rest: VecDeque<T>,
}

impl<T> Batch<'_, T> {
    /// Takes the whole queue. Whether there was any.
    fn take(&mut self) -> bool {
        std::mem::swap(&mut self.rest, &mut *self.queue.waiting.borrow_mut());
        !self.rest.is_empty()
    }
}

impl<T> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        self.queue.waiting.borrow_mut().append(&mut self.rest);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::Context;

    use super::*;
    use crate::net::tests::wakes::Wakes;

    #[test]
    fn a_turn_is_flushed_after_all_ready_tasks() {
        let (queue, log) = (FlushQueue::default(), RefCell::new(Vec::new()));
        let note = |what: &str| log.borrow_mut().push(what.to_owned());
        let flush = |who: u32| {
            note(&who.to_string());
            if who == 1 {
                queue.push(3); // the write unblocked somebody else
            }
        };
        let mut turns = pin!(queue.flush_forever(flush, || note("round"), || note("end")));
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut poll =
            || assert!(turns.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        poll();
        poll();
        assert_eq!(std::mem::take(&mut *log.borrow_mut()), ["end"]);
        wakes.take();
        queue.push(1);
        queue.push(2);
        assert_eq!(wakes.take(), 1, "the first wakes it");
        poll();
        assert!(log.borrow().is_empty(), "others may come to have output before");
        assert_eq!(wakes.take(), 1);
        poll();
        assert_eq!(log.take(), ["1", "2", "round", "3", "round", "end"]);
        assert_eq!(wakes.take(), 0, "nobody waits");
    }

    #[test]
    fn a_panic_leaves_the_others_to_the_next_round() {
        let (queue, log) = (FlushQueue::default(), RefCell::new(Vec::new()));
        let flush = |who: u32| match who {
            1 => panic!("it was to be"),
            who => log.borrow_mut().push(who),
        };
        (0..4).for_each(|who| queue.push(who));
        for expected in [vec![0], vec![0, 2, 3]] {
            let mut turns = Box::pin(queue.flush_forever(flush, || {}, || {}));
            let mut cx = Context::from_waker(Waker::noop());
            let mut poll = || turns.as_mut().poll(&mut cx).is_pending();
            assert!(poll());
            let _ = catch_unwind(AssertUnwindSafe(poll)); // the first flush panics
            drop(turns);
            assert_eq!(*log.borrow(), expected);
        }
    }
}
