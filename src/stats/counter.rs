//! Single-writer counters, and a counter sharded by worker.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Increments a single-writer counter: no atomic read-modify-write is needed.
pub fn increment(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

/// The element of worker `worker`. Its number is always in range; this form of bounds check is
/// cheaper than a modulo.
pub fn of_worker<T>(all: &[T], worker: usize) -> &T {
    &all[if worker < all.len() { worker } else { 0 }]
}

/// A counter with one cell a worker, so that workers do not contend.
#[derive(Debug)]
pub struct WorkerCounter(Box<[AtomicU64]>);

impl WorkerCounter {
    /// Zero, with a cell for each of `workers`.
    pub fn new(workers: usize) -> WorkerCounter {
        WorkerCounter((0..workers.max(1)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Increments. Only worker `worker` may pass its number.
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
