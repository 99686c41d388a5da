//! Fair scheduling of reads: a byte budget per turn over all connections of a worker.
//!
//! A turn lasts from one poll of the sockets to the next. Connections with more input than its
//! budget has left queue up, and the sockets are polled again in between; small reads go before
//! them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;

/// Maximum of bytes per read.
pub const MAX_READ: usize = 64 << 10;

/// Budget of a turn, in full reads: worth some tenths of a millisecond of work.
pub const READS_PER_TURN: usize = 4;

/// Bytes that a connection may still read once the budget is spent, unless its last read was large.
pub const SMALL_READ: usize = 16 << 10;

/// The turns of a worker, and the queue for the next one.
#[derive(Debug)]
pub struct ReadScheduler<T> {
    left: Cell<usize>,
    /// Consecutive reads of one connection.
    max_consecutive: Cell<usize>,
    waiting: RefCell<VecDeque<T>>,
    non_empty: Notify,
}

impl<T> Default for ReadScheduler<T> {
    fn default() -> ReadScheduler<T> {
        ReadScheduler {
            left: Cell::new(READS_PER_TURN * MAX_READ),
            max_consecutive: Cell::new(READS_PER_TURN),
            waiting: RefCell::default(),
            non_empty: Notify::new(),
        }
    }
}

impl<T> ReadScheduler<T> {
    /// Charges the budget.
    pub fn spend(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_sub(bytes));
    }

    /// Whether the budget of this turn is spent.
    pub fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    /// How many consecutive reads one connection may do.
    pub fn max_consecutive(&self) -> usize {
        self.max_consecutive.get()
    }

    /// Queues `who` for a turn.
    pub fn enqueue(&self, who: T) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back(who);
        if waiting.len() == 1 {
            self.non_empty.notify_one();
        }
    }

    /// Resolves when the queue is not empty and all other tasks have run.
    pub async fn next(&self) {
        while self.waiting.borrow().is_empty() {
            self.non_empty.notified().await;
        }
        // Resumes once all ready tasks have run and the sockets were polled.
        tokio::task::yield_now().await;
    }

    /// Ends a turn that left nothing unread: the budget is renewed.
    pub fn end(&self) {
        if self.waiting.borrow().is_empty() {
            self.left.set(READS_PER_TURN * MAX_READ);
        }
    }

    /// Begins a turn by admitting those that have waited longest.
    pub fn begin(&self, mut admit: impl FnMut(T)) {
        let mut waiting = self.waiting.borrow_mut();
        let max_consecutive = (READS_PER_TURN / waiting.len().max(1)).max(1);
        self.max_consecutive.set(max_consecutive);
        self.left.set(READS_PER_TURN * MAX_READ);
        let many = waiting.len().min(READS_PER_TURN);
        waiting.drain(..many).for_each(&mut admit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(read_scheduler: &ReadScheduler<u32>) -> Vec<u32> {
        let mut admitted = Vec::new();
        read_scheduler.begin(|who| admitted.push(who));
        admitted
    }

    #[test]
    fn a_single_connection_gets_the_whole_turn() {
        let read_scheduler = ReadScheduler::default();
        for _ in 0..READS_PER_TURN {
            assert!(!read_scheduler.is_spent());
            read_scheduler.spend(MAX_READ);
        }
        assert!(read_scheduler.is_spent());
        read_scheduler.enqueue(1);
        assert_eq!(
            (admitted(&read_scheduler), read_scheduler.max_consecutive()),
            (vec![1], READS_PER_TURN)
        );
        assert!(!read_scheduler.is_spent());
        assert!(admitted(&read_scheduler).is_empty());
    }

    #[test]
    fn a_turn_without_a_queue_renews_the_budget() {
        let read_scheduler = ReadScheduler::<u32>::default();
        read_scheduler.spend(READS_PER_TURN * MAX_READ);
        read_scheduler.enqueue(1);
        read_scheduler.end();
        assert!(read_scheduler.is_spent(), "non_empty waits");
        admitted(&read_scheduler);
        read_scheduler.spend(READS_PER_TURN * MAX_READ);
        read_scheduler.end();
        assert!(!read_scheduler.is_spent());
    }

    #[test]
    fn many_have_their_turns_one_after_the_other() {
        let read_scheduler = ReadScheduler::default();
        (0..10).for_each(|who| read_scheduler.enqueue(who));
        let mut order = Vec::new();
        for _ in 0..5 {
            let turn = admitted(&read_scheduler);
            assert!(turn.len() * read_scheduler.max_consecutive() <= READS_PER_TURN);
            turn.iter().for_each(|who| read_scheduler.enqueue(*who));
            order.extend(turn);
        }
        assert!(order.iter().copied().eq((0..10).chain(0..10)));
    }
}
