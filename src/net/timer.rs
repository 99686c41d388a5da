//! Hierarchical timing wheel, one per worker.
//!
//! A slot of the lowest level holds the timers of one tick, a slot of a higher level those of as
//! many ticks as the whole level below spans; when its time comes they cascade down. So setting,
//! dropping and firing a timer are O(1), and the next expiry is known. Precision is one tick.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

use crate::clock::Clock;
use crate::model::Time;

const TICK: Duration = Duration::from_millis(5);

/// log2 of the slots per level.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;

/// Levels; together they span ten years.
const LEVELS: usize = 6;
const FARTHEST: u64 = 1 << (BITS * LEVELS as u32);

/// No timer is set.
const NEVER: u64 = u64::MAX;

/// The timers of one worker.
#[derive(Debug)]
pub(super) struct Wheel {
    entries: RefCell<Slab<Entry>>,
    levels: RefCell<[Level; LEVELS]>,
    /// The current tick: everything due up to it has fired.
    turned: Cell<u64>,
    /// The tick that the driver of the wheel sleeps until.
    awaited: Cell<u64>,
    turner: RefCell<Option<Waker>>,
    /// Scratch buffer for wakers, reused.
    woken: RefCell<Vec<Waker>>,
}

#[derive(Debug)]
struct Level {
    /// Bitmap of the non-empty slots.
    occupied: u64,
    slots: [Vec<usize>; SLOTS],
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
    /// The future was dropped; its slot still lists it.
    Dropped,
}

impl Level {
    fn new() -> Level {
        Level { occupied: 0, slots: [const { Vec::new() }; SLOTS] }
    }
}

/// The slot of `tick` at a level.
const fn slot(tick: u64, level: usize) -> usize {
    (tick >> (BITS * level as u32)) as usize % SLOTS
}

/// The level of a timer due then: the highest at which its slot differs from the current one.
const fn level(due: u64, turned: u64) -> usize {
    let highest = 63 - ((due ^ turned) | 1).leading_zeros();
    (highest / BITS) as usize
}

impl Wheel {
    pub fn new(now: Time) -> Wheel {
        Wheel {
            entries: RefCell::new(Slab::new()),
            levels: RefCell::new([(); LEVELS].map(|()| Level::new())),
            turned: Cell::new(tick(now)),
            awaited: Cell::new(NEVER),
            turner: RefCell::new(None),
            woken: RefCell::default(),
        }
    }

    /// Inserts a timer. The driver of the wheel is woken if it is the earliest.
    fn insert(&self, due: u64, waker: Waker) -> usize {
        let turned = self.turned.get();
        let due = due.clamp(turned + 1, turned + FARTHEST / 2);
        let index = self.entries.borrow_mut().insert(Entry { due, state: State::Waiting(waker) });
        self.list(index, due);
        if due < self.awaited.get() {
            self.awaited.set(due);
            if let Some(turner) = self.turner.take() {
                turner.wake();
            }
        }
        index
    }

    fn list(&self, index: usize, due: u64) {
        let at = level(due, self.turned.get()).min(LEVELS - 1);
        let mut levels = self.levels.borrow_mut();
        if let Some(level) = levels.get_mut(at) {
            let slot = slot(due, at);
            level.occupied |= 1 << slot;
            if let Some(list) = level.slots.get_mut(slot) {
                list.push(index);
            }
        }
    }

    /// The next tick at which a slot fires or cascades.
    fn next(&self) -> Option<(u64, usize)> {
        let turned = self.turned.get();
        let levels = self.levels.borrow();
        levels.iter().enumerate().find_map(|(at, level)| {
            let shift = BITS * at as u32;
            let ahead = level.occupied.rotate_right(slot(turned, at) as u32);
            (ahead != 0)
                .then(|| (((turned >> shift) + u64::from(ahead.trailing_zeros())) << shift, at))
        })
    }

    /// Fires expired timers.
    pub fn turn(&self, now: Time) {
        let until = tick(now);
        let mut woken = self.woken.take();
        while let Some((at, level)) = self.next().filter(|(at, _)| *at <= until) {
            self.turned.set(at);
            let mut listed = self.take(at, level);
            for index in listed.drain(..) {
                self.fire_or_list(index, at, &mut woken);
            }
            self.put_back(listed, at, level);
        }
        self.turned.set(until.max(self.turned.get()));
        // Only now: waking may drop a task, and with it timers of this wheel.
        woken.drain(..).for_each(Waker::wake);
        self.woken.replace(woken);
    }

    /// Takes the timers of a slot.
    fn take(&self, at: u64, level: usize) -> Vec<usize> {
        let mut levels = self.levels.borrow_mut();
        let Some(level_at) = levels.get_mut(level) else { return Vec::new() };
        let slot = slot(at, level);
        level_at.occupied &= !(1 << slot);
        level_at.slots.get_mut(slot).map(std::mem::take).unwrap_or_default()
    }

    /// Returns a slot's allocation for reuse.
    fn put_back(&self, list: Vec<usize>, at: u64, level: usize) {
        let mut levels = self.levels.borrow_mut();
        if let Some(level_at) = levels.get_mut(level)
            && let Some(empty) = level_at.slots.get_mut(slot(at, level))
            && empty.is_empty()
        {
            *empty = list;
        }
    }

    fn fire_or_list(&self, index: usize, now: u64, woken: &mut Vec<Waker>) {
        let mut entries = self.entries.borrow_mut();
        match entries.get_mut(index) {
            None => {}
            Some(Entry { state: State::Dropped, .. }) => {
                entries.remove(index);
            }
            Some(entry) if entry.due > now => {
                let due = entry.due;
                drop(entries);
                self.list(index, due);
            }
            Some(entry) => {
                if let State::Waiting(waker) = std::mem::replace(&mut entry.state, State::Fired) {
                    woken.push(waker);
                }
            }
        }
    }

    /// Resolves when the wheel has to be turned.
    pub async fn is_due(&self, clock: Clock) {
        loop {
            let next = self.next().map_or(NEVER, |(at, _)| at);
            self.awaited.set(next);
            let sooner = poll_fn(|cx| {
                if self.awaited.get() < next {
                    return Poll::Ready(());
                }
                *self.turner.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            });
            if next == NEVER {
                sooner.await;
                continue;
            }
            tokio::select! {
                biased;
                () = clock.sleep_until(begin(next)) => return,
                () = sooner => {}
            }
        }
    }
}

fn tick(time: Time) -> u64 {
    time.as_millis() / TICK.as_millis() as u64
}

fn begin(tick: u64) -> Time {
    Time::from_millis(tick.saturating_mul(TICK.as_millis() as u64))
}

/// Resolves at a point in time, up to a tick late.
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

    /// Arms it with `waker`, without polling it.
    pub(super) fn wake(&mut self, waker: &Waker) {
        self.index.get_or_insert_with(|| self.wheel.insert(self.due, waker.clone()));
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
        let gone = match entries.get_mut(index) {
            Some(Entry { state: State::Fired, .. }) => {
                entries.remove(index);
                None
            }
            Some(entry) => Some(std::mem::replace(&mut entry.state, State::Dropped)),
            None => None,
        };
        drop(entries);
        drop(gone); // dropping a waker may drop a task that has timers
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::net::tests::wakes::Wakes;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn fires_once_when_due_and_never_when_dropped() {
        let wheel = Rc::new(Wheel::new(at(0)));
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        let mut soon = Sleep::new(Rc::clone(&wheel), at(20));
        let mut late = Sleep::new(Rc::clone(&wheel), at(60_000)); // at a higher level
        let mut dropped = Sleep::new(Rc::clone(&wheel), at(20));
        for sleep in [&mut soon, &mut late, &mut dropped] {
            assert!(Pin::new(sleep).poll(&mut cx).is_pending());
        }
        drop(dropped);
        wheel.turn(at(19));
        assert_eq!(wakes.take(), 0);
        wheel.turn(at(30));
        assert_eq!(wakes.take(), 1);
        assert!(Pin::new(&mut soon).poll(&mut cx).is_ready());
        for ms in (40..60_000).step_by(700) {
            wheel.turn(at(ms));
        }
        assert!(Pin::new(&mut late).poll(&mut cx).is_pending());
        wheel.turn(at(60_010));
        assert_eq!(wakes.take(), 1);
        assert!(Pin::new(&mut late).poll(&mut cx).is_ready());
        drop((soon, late));
        assert!(wheel.entries.borrow().is_empty());
    }

    #[test]
    fn any_timer_fires_within_a_tick_whatever_is_set_and_dropped_meanwhile() {
        let mut rng = fastrand::Rng::with_seed(3);
        let wheel = Rc::new(Wheel::new(at(123_456_789)));
        let mut now = 123_456_789;
        let mut waiting: Vec<(u64, Sleep, Arc<Wakes>)> = Vec::new();
        for _ in 0..20_000 {
            let far = rng.u32(1..24);
            let due = now + rng.u64(..1 << far);
            let wakes = Arc::new(Wakes::default());
            let mut sleep = Sleep::new(Rc::clone(&wheel), at(due));
            sleep.wake(&Waker::from(Arc::clone(&wakes)));
            waiting.push((due, sleep, wakes));
            if rng.u8(..8) == 0 {
                waiting.swap_remove(rng.usize(..waiting.len()));
            }
            let far = rng.u32(1..12);
            now += rng.u64(..1 << far);
            wheel.turn(at(now));
            waiting.retain(|(due, _, wakes)| {
                let fired = wakes.take();
                assert!(fired == 0 || *due <= now, "too early: {due} at {now}");
                assert!(fired == 1 || now < *due + 10, "too late: {due} at {now}");
                fired == 0
            });
        }
        drop(waiting);
        wheel.turn(at(now + (1 << 30)));
        assert!(wheel.entries.borrow().is_empty() && wheel.next().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_driver_sleeps_until_a_timer_is_due() {
        let clock = Clock::start();
        let wheel = Rc::new(Wheel::new(clock.now()));
        let waker = Waker::noop();
        let mut far = Sleep::new(Rc::clone(&wheel), Time::ZERO + Duration::from_secs(900));
        far.wake(waker);
        let mut turns = 0;
        let turning = async {
            loop {
                wheel.is_due(clock).await;
                wheel.turn(clock.now());
                turns += 1;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1000), turning).await;
        assert!((1..=LEVELS).contains(&turns), "{turns}");
        let fired = wheel.entries.borrow().iter().all(|(_, e)| matches!(e.state, State::Fired));
        assert!(fired);
        // An earlier one that is set meanwhile is not missed.
        far = Sleep::new(Rc::clone(&wheel), clock.now() + Duration::from_secs(900));
        far.wake(waker);
        let begun = clock.now();
        let near = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Sleep::new(Rc::clone(&wheel), begun + Duration::from_secs(2)).await;
        };
        let turning = async {
            loop {
                wheel.is_due(clock).await;
                wheel.turn(clock.now());
            }
        };
        tokio::select! {
            biased;
            () = near => {}
            () = turning => {}
        }
        assert!(clock.now().since(begun) < Duration::from_secs(3));
    }
}
