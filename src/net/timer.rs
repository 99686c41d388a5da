//! One coarse timer wheel per worker.
//!
//! A slot holds the timers of one tick modulo the wheel's size; one that is due in a later round
//! stays where it is. Setting and dropping a timer cost a few stores; precision is one tick.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

use crate::model::Time;

const TICK: Duration = Duration::from_millis(5);
const SLOTS: usize = 1024;

/// The timers of one worker.
#[derive(Debug)]
pub(super) struct Wheel {
    entries: RefCell<Slab<Entry>>,
    slots: RefCell<Vec<Vec<usize>>>,
    turned: Cell<u64>,
    ticker: RefCell<Option<Waker>>,
}

#[derive(Debug)]
struct Entry {
    due: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting(Waker),
    Fired,
    /// The future is gone; the slot it is listed in has yet to notice.
    Dropped,
}

impl Wheel {
    pub fn new(now: Time) -> Wheel {
        Wheel {
            entries: RefCell::new(Slab::new()),
            slots: RefCell::new((0..SLOTS).map(|_| Vec::new()).collect()),
            turned: Cell::new(tick(now)),
            ticker: RefCell::new(None),
        }
    }

    /// Lists a timer; the first one wakes the ticker.
    fn insert(&self, due: u64, waker: Waker) -> usize {
        let mut entries = self.entries.borrow_mut();
        let due = due.max(self.turned.get() + 1);
        let index = entries.insert(Entry { due, state: State::Waiting(waker) });
        if let Some(slot) = self.slots.borrow_mut().get_mut(slot(due)) {
            slot.push(index);
        }
        if let Some(ticker) = self.ticker.take() {
            ticker.wake();
        }
        index
    }

    /// Fires what is due.
    pub fn turn(&self, now: Time) {
        let until = tick(now);
        let from = self.turned.replace(until) + 1;
        let mut entries = self.entries.borrow_mut();
        let mut slots = self.slots.borrow_mut();
        for at in from.max(until.saturating_sub(SLOTS as u64 - 1))..=until {
            let Some(slot) = slots.get_mut(slot(at)) else {
                continue;
            };
            slot.retain(|&index| match entries.get_mut(index) {
                None => false,
                Some(Entry { state: State::Dropped, .. }) => {
                    entries.remove(index);
                    false
                }
                Some(entry) if entry.due > until => true,
                Some(entry) => {
                    if let State::Waiting(waker) = std::mem::replace(&mut entry.state, State::Fired)
                    {
                        waker.wake();
                    }
                    false
                }
            });
        }
    }

    /// Waits until there is a timer at all, then for the next tick.
    pub async fn next_tick(&self) {
        std::future::poll_fn(|cx| {
            if self.entries.borrow().is_empty() {
                *self.ticker.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        tokio::time::sleep(TICK).await;
    }
}

fn tick(time: Time) -> u64 {
    time.as_millis() / TICK.as_millis() as u64
}

fn slot(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

/// Ends at a point in time, up to a tick late.
#[derive(Debug)]
pub struct Sleep {
    wheel: Rc<Wheel>,
    due: u64,
    index: Option<usize>,
}

impl Sleep {
    pub(super) fn new(wheel: Rc<Wheel>, until: Time) -> Sleep {
        Sleep { wheel, due: tick(until + TICK), index: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(index) = self.index else {
            self.index = Some(self.wheel.insert(self.due, cx.waker().clone()));
            return Poll::Pending;
        };
        match self.wheel.entries.borrow_mut().get_mut(index).map(|entry| &mut entry.state) {
            Some(State::Waiting(waker)) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let Some(index) = self.index else { return };
        let mut entries = self.wheel.entries.borrow_mut();
        match entries.get_mut(index) {
            Some(Entry { state: State::Fired, .. }) => {
                entries.remove(index);
            }
            Some(entry) => entry.state = State::Dropped,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn fires_once_when_due_and_never_when_dropped() {
        let wheel = Rc::new(Wheel::new(at(0)));
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let mut soon = Sleep::new(Rc::clone(&wheel), at(20));
        let mut late = Sleep::new(Rc::clone(&wheel), at(60_000)); // several rounds on
        let mut dropped = Sleep::new(Rc::clone(&wheel), at(20));
        for sleep in [&mut soon, &mut late, &mut dropped] {
            assert!(Pin::new(sleep).poll(&mut cx).is_pending());
        }
        drop(dropped);
        wheel.turn(at(19));
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        wheel.turn(at(30));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(Pin::new(&mut soon).poll(&mut cx).is_ready());
        for ms in (40..60_000).step_by(700) {
            wheel.turn(at(ms));
        }
        assert!(Pin::new(&mut late).poll(&mut cx).is_pending());
        wheel.turn(at(60_010));
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert!(Pin::new(&mut late).poll(&mut cx).is_ready());
        drop((soon, late));
        assert!(wheel.entries.borrow().is_empty());
    }
}
