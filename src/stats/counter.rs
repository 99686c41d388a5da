//! Counters with one writer, and a count that all workers share without sharing a cell.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Adds one to a counter with one writer, so no read-modify-write instruction is needed.
pub fn increment(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

/// What worker `worker` has of `all`, of which there is one for each. Their numbers are in range: to
/// make sure by a division would cost more than to count.
pub fn of_worker<T>(all: &[T], worker: usize) -> &T {
    &all[if worker < all.len() { worker } else { 0 }]
}

/// A count to which each worker adds in a cell of its own.
#[derive(Debug)]
pub struct WorkerCounter(Box<[AtomicU64]>);

impl WorkerCounter {
    /// Zero, for this many workers.
    pub fn new(workers: usize) -> WorkerCounter {
        WorkerCounter((0..workers.max(1)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds one. Only worker `worker` may call this with its number.
    pub fn increment(&self, worker: usize) {
        increment(of_worker(&self.0, worker));
    }

    /// The sum over all workers.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|cell| cell.load(Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sums_its_cells() {
        let counter = WorkerCounter::new(2);
        counter.increment(0);
        counter.increment(1);
        counter.increment(1);
        assert_eq!(counter.total(), 3);
    }
}
