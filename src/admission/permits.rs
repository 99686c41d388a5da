//! Permits of one service: a count for the whole process, and a line of waiting requests on each
//! worker.
//!
//! A permit that is freed goes to the worker whose first waiting request has the lowest tag. To another
//! worker that is one hop: its count of grants is raised and it is woken.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::stats::of_worker;

/// The permits of one service.
#[derive(Debug)]
pub struct Permits {
    count: Count,
    lines: Box<[Line]>,
}

/// Counts of the whole process.
#[derive(Debug, Default)]
#[repr(align(128))] // a pair of cache lines, against false sharing
struct Count {
    calls: AtomicU32,
    /// How many calls there may be: the lower of the next two.
    limit: AtomicU32,
    set: AtomicU32,
    learned: AtomicU32,
    /// Requests that wait, but for those to which a permit is under way.
    waiting: AtomicU32,
    streams: AtomicU32,
}

/// The waiting requests of one worker.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line {
    /// Tag of the first one.
    head: AtomicU64,
    /// How many wait, but for those to which a permit is under way.
    unclaimed: AtomicU32,
    /// Permits from other workers that it has not taken yet.
    granted: AtomicU32,
    wake: Notify,
}

impl Permits {
    /// None in use, for this many workers.
    pub fn new(workers: usize) -> Permits {
        let lines = (0..workers.max(1)).map(|_| Line::default()).collect();
        let none = || AtomicU32::new(u32::MAX);
        let count = Count { limit: none(), set: none(), learned: none(), ..Count::default() };
        Permits { count, lines }
    }

    /// Calls that may have one; all if there is no limit.
    pub fn limit(&self) -> Option<u32> {
        Some(self.count.limit.load(Relaxed)).filter(|limit| *limit < u32::MAX)
    }

    /// Sets how many calls may have one, by configuration. If it was raised, [`Permits::hand_out`] is to
    /// be called.
    pub fn set_limit(&self, limit: Option<u32>) {
        self.count.set.store(limit.unwrap_or(u32::MAX), SeqCst);
        self.apply();
    }

    /// The same, by what was learnt.
    pub fn set_learned(&self, limit: Option<u32>) {
        self.count.learned.store(limit.unwrap_or(u32::MAX), SeqCst);
        self.apply();
    }

    /// Whichever worker applies last has seen what the others have set.
    fn apply(&self) {
        let Count { limit, set, learned, .. } = &self.count;
        limit.store(set.load(SeqCst).min(learned.load(SeqCst)), SeqCst);
    }

    /// Permits in use.
    pub fn calls(&self) -> u32 {
        self.count.calls.load(Relaxed)
    }

    /// Requests that wait for one.
    pub fn waiting(&self) -> u32 {
        self.count.waiting.load(Relaxed)
    }

    /// Open streams.
    pub fn streams(&self) -> u32 {
        self.count.streams.load(Relaxed)
    }

    /// Takes a permit if there is one and nobody waits; how many are in use then.
    #[inline]
    pub fn try_acquire(&self) -> Option<u32> {
        (self.waiting() == 0).then(|| self.take())?
    }

    /// Takes a permit of streams if fewer than `limit` are in use.
    pub fn try_acquire_stream(&self, limit: u32) -> bool {
        take(&self.count.streams, limit).is_some()
    }

    /// A call that holds a permit has become a stream, which may be one more than their limit.
    pub fn count_stream(&self) {
        self.count.streams.fetch_add(1, Relaxed);
    }

    /// Returns a permit of streams.
    pub fn release_stream(&self) {
        self.count.streams.fetch_sub(1, Relaxed);
    }

    /// Returns a permit; see [`Permits::hand_out`].
    #[inline]
    pub fn release(&self, own: usize) -> u32 {
        self.count.calls.fetch_sub(1, SeqCst);
        match self.count.waiting.load(SeqCst) {
            0 => 0,
            _ => self.hand_out(own),
        }
    }

    /// Hands the free permits to requests that wait, and returns how many of these wait on worker `own`.
    ///
    /// A request joins its line first and then calls this, a permit is returned first and then this is
    /// called, so that one of the two sees the other.
    pub fn hand_out(&self, own: usize) -> u32 {
        let mut mine = 0;
        while self.take().is_some() {
            let Some((worker, line)) = self.claim() else {
                self.count.calls.fetch_sub(1, SeqCst);
                match self.has_unclaimed() {
                    true => continue,
                    false => break,
                }
            };
            if worker == own {
                mine += 1;
            } else {
                line.granted.fetch_add(1, Release);
                line.wake.notify_one();
            }
        }
        mine
    }

    /// A request of worker `own` waits.
    pub fn join(&self, own: usize) {
        of_worker(&self.lines, own).unclaimed.fetch_add(1, SeqCst);
        self.count.waiting.fetch_add(1, SeqCst);
    }

    /// A request of worker `own` waits no more. If a permit is under way for each one of its line, this
    /// one's goes to whoever is next.
    pub fn leave(&self, own: usize) {
        self.unclaim(of_worker(&self.lines, own));
    }

    /// The tag of the first waiting request of worker `own`.
    pub fn set_head(&self, own: usize, tag: u64) {
        of_worker(&self.lines, own).head.store(tag, Relaxed);
    }

    /// Resolves when another worker has handed permits to worker `own`.
    pub fn handed(&self, own: usize) -> Notified<'_> {
        of_worker(&self.lines, own).wake.notified()
    }

    /// Takes the permits that other workers have handed to worker `own`.
    pub fn take_handed(&self, own: usize) -> u32 {
        of_worker(&self.lines, own).granted.swap(0, Acquire)
    }

    /// Wakes worker `own` as if a permit had been handed to it.
    pub fn wake(&self, own: usize) {
        of_worker(&self.lines, own).wake.notify_one();
    }

    fn take(&self) -> Option<u32> {
        take(&self.count.calls, self.count.limit.load(SeqCst))
    }

    /// Claims the next request that waits: its worker, and the line there.
    fn claim(&self) -> Option<(usize, &Line)> {
        loop {
            let waiting = |(_, line): &(usize, &Line)| line.unclaimed.load(SeqCst) > 0;
            let lines = self.lines.iter().enumerate().filter(waiting);
            let next = lines.min_by_key(|(_, line)| line.head.load(Relaxed))?;
            if self.unclaim(next.1) {
                return Some(next);
            }
        }
    }

    fn unclaim(&self, line: &Line) -> bool {
        let claimed = line.unclaimed.fetch_update(SeqCst, SeqCst, |count| count.checked_sub(1));
        if claimed.is_ok() {
            self.count.waiting.fetch_sub(1, SeqCst);
        }
        claimed.is_ok()
    }

    fn has_unclaimed(&self) -> bool {
        self.lines.iter().any(|line| line.unclaimed.load(SeqCst) > 0)
    }
}

fn take(count: &AtomicU32, limit: u32) -> Option<u32> {
    let more = |count| (count < limit).then(|| count + 1);
    count.fetch_update(SeqCst, SeqCst, more).ok().map(|before| before + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(workers: usize, limit: u32) -> Permits {
        let permits = Permits::new(workers);
        permits.set_limit(Some(limit));
        permits
    }

    #[test]
    fn there_are_as_many_as_the_limit_says() {
        let permits = permits(2, 2);
        assert_eq!([0; 3].map(|_| permits.try_acquire()), [Some(1), Some(2), None]);
        assert_eq!(permits.release(0), 0, "nobody waits");
        assert!(permits.try_acquire().is_some());
        assert_eq!(permits.calls(), 2);
    }

    #[test]
    fn the_lower_of_both_limits_applies() {
        let permits = permits(1, 5);
        permits.set_learned(Some(3));
        assert_eq!(permits.limit(), Some(3));
        permits.set_learned(None);
        assert_eq!(permits.limit(), Some(5));
        permits.set_limit(None);
        assert_eq!(permits.limit(), None);
    }

    #[test]
    fn nobody_overtakes_those_that_wait() {
        let permits = permits(1, 1);
        assert!(permits.try_acquire().is_some());
        permits.join(0);
        assert_eq!(permits.hand_out(0), 0, "none is free");
        assert_eq!(permits.release(0), 1);
        assert_eq!((permits.calls(), permits.waiting()), (1, 0));
        permits.join(0);
        permits.join(0);
        assert_eq!(permits.try_acquire(), None, "two wait");
        permits.set_limit(Some(3));
        assert_eq!(permits.hand_out(0), 2, "the limit was raised");
    }

    #[test]
    fn one_that_is_freed_goes_to_the_lowest_tag() {
        let permits = permits(3, 1);
        assert!(permits.try_acquire().is_some());
        for (worker, tag) in [(1, 9), (2, 4)] {
            permits.join(worker);
            permits.set_head(worker, tag);
        }
        assert_eq!(permits.release(0), 0);
        assert_eq!([0, 1, 2].map(|worker| permits.take_handed(worker)), [0, 0, 1]);
        assert_eq!(permits.release(2), 0);
        assert_eq!(permits.take_handed(1), 1);
        assert_eq!(permits.release(1), 0);
        assert_eq!((permits.calls(), permits.waiting()), (0, 0));
    }

    #[test]
    fn who_has_left_is_passed_over() {
        let permits = permits(2, 1);
        assert!(permits.try_acquire().is_some());
        permits.join(1);
        permits.join(1);
        permits.leave(1);
        permits.release(0);
        permits.leave(1); // while the permit is under way
        assert_eq!((permits.take_handed(1), permits.waiting()), (1, 0));
        permits.release(1);
        assert_eq!(permits.calls(), 0);
    }

    #[test]
    fn none_is_lost_between_workers() {
        const WORKERS: usize = 4;
        let (permits, in_use) = (permits(WORKERS, 2), AtomicU32::new(0));
        let work = |own: usize| {
            let begin = || assert!(in_use.fetch_add(1, SeqCst) < 2, "more than the limit");
            let end = || {
                in_use.fetch_sub(1, SeqCst);
                permits.release(own)
            };
            let mut mine = 0;
            for _ in 0..5_000 {
                if permits.try_acquire().is_none() {
                    permits.join(own);
                    mine += permits.hand_out(own);
                    while mine == 0 {
                        mine += permits.take_handed(own);
                        std::thread::yield_now();
                    }
                    mine -= 1;
                }
                begin();
                mine += end();
            }
            assert_eq!(mine, 0, "this worker has one request at a time");
        };
        std::thread::scope(|scope| {
            (0..WORKERS).for_each(|own| {
                scope.spawn(move || work(own));
            });
        });
        assert_eq!((permits.calls(), permits.waiting()), (0, 0));
    }
}
