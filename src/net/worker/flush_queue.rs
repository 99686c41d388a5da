//! What is to be written at the end of a turn: each connection once, however often it was written
//! to meanwhile.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Who has output, in the order in which they got it.
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
    /// `who` is flushed at the end of this turn.
    pub fn push(&self, who: T) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back(who);
        if waiting.len() == 1
            && let Some(flusher) = &*self.flusher.borrow()
        {
            flusher.wake_by_ref();
        }
    }

    /// Flushes all who wait, until nobody does; then the turn is over, and `end` is told.
    ///
    /// The first who gets output wakes this task. It then lines up once more, behind the tasks that
    /// were started meanwhile. `flushed` is told of each round of a turn.
    pub async fn flush_forever(&self, flush: impl Fn(T), flushed: impl Fn(), end: impl Fn()) {
        let mut batch = Batch { queue: self, rest: VecDeque::new() };
        let mut waited = false;
        self.flusher.take(); // that of a task before this one
        let turns = poll_fn(|cx| {
            waited = !waited;
            if waited {
                cx.waker().wake_by_ref();
                return Poll::<()>::Pending;
            }
            let flusher = self.flusher.take(); // who comes meanwhile is in this turn
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
        // A turn writes to every connection, however many there are.
        tokio::task::coop::unconstrained(turns).await;
    }
}

/// Those who are flushed in one round. Should one of them bring it to a sudden end, the others have
/// their turn in the next.
struct Batch<'q, T> {
    queue: &'q FlushQueue<T>,
    rest: VecDeque<T>,
}

impl<T> Batch<'_, T> {
    /// Takes all who wait. Whether there is any.
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
    fn a_turn_is_written_once_all_who_run_in_it_have_had_their_say() {
        let (queue, log) = (FlushQueue::default(), RefCell::new(Vec::new()));
        let note = |what: &str| log.borrow_mut().push(what.to_owned());
        let flush = |who: u32| {
            note(&who.to_string());
            if who == 1 {
                queue.push(3); // what was written made room for somebody else
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
    fn who_brings_a_round_to_an_end_leaves_the_others_to_the_next() {
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
            let _ = catch_unwind(AssertUnwindSafe(poll)); // the first time it panics
            drop(turns);
            assert_eq!(*log.borrow(), expected);
        }
    }
}
