//! Fair scheduling of reads: a byte budget per turn over all connections of a worker.
//!
//! A turn lasts from one poll of the sockets to the next. Connections with more input than its
//! budget has left queue up, and the sockets are polled again in between; small reads go before
//! them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;

/// Bytes of one read at most.
pub const READ: usize = 64 << 10;

/// Budget of a turn, in full reads: worth some tenths of a millisecond of work.
pub const READS: usize = 4;

/// Bytes that a connection not known as busy may read once the budget is spent.
pub const LITTLE: usize = 16 << 10;

/// The turns of a worker, and the queue for the next one.
#[derive(Debug)]
pub struct Pacing<T> {
    left: Cell<usize>,
    /// Consecutive reads of one connection.
    share: Cell<usize>,
    waiting: RefCell<VecDeque<T>>,
    somebody: Notify,
}

impl<T> Default for Pacing<T> {
    fn default() -> Pacing<T> {
        Pacing {
            left: Cell::new(READS * READ),
            share: Cell::new(READS),
            waiting: RefCell::default(),
            somebody: Notify::new(),
        }
    }
}

impl<T> Pacing<T> {
    /// Charges the budget.
    pub fn spend(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_sub(bytes));
    }

    /// Whether the budget of this turn is spent.
    pub fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    /// How many consecutive reads one connection may do.
    pub fn share(&self) -> usize {
        self.share.get()
    }

    /// Queues `who` for a turn.
    pub fn line_up(&self, who: T) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back(who);
        if waiting.len() == 1 {
            self.somebody.notify_one();
        }
    }

    /// Resolves when the queue is not empty and all other tasks have run.
    pub async fn next(&self) {
        while self.waiting.borrow().is_empty() {
            self.somebody.notified().await;
        }
        // Resumes once all ready tasks have run and the sockets were polled.
        tokio::task::yield_now().await;
    }

    /// Ends a turn that left nothing unread: the budget is renewed.
    pub fn end(&self) {
        if self.waiting.borrow().is_empty() {
            self.left.set(READS * READ);
        }
    }

    /// Begins a turn with the longest waiting.
    pub fn begin(&self, mut admit: impl FnMut(T)) {
        let mut waiting = self.waiting.borrow_mut();
        let share = (READS / waiting.len().max(1)).max(1);
        self.share.set(share);
        self.left.set(READS * READ);
        let many = waiting.len().min(READS);
        waiting.drain(..many).for_each(&mut admit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(pacing: &Pacing<u32>) -> Vec<u32> {
        let mut admitted = Vec::new();
        pacing.begin(|who| admitted.push(who));
        admitted
    }

    #[test]
    fn one_alone_has_all_of_a_turn() {
        let pacing = Pacing::default();
        for _ in 0..READS {
            assert!(!pacing.is_spent());
            pacing.spend(READ);
        }
        assert!(pacing.is_spent());
        pacing.line_up(1);
        assert_eq!((admitted(&pacing), pacing.share()), (vec![1], READS));
        assert!(!pacing.is_spent());
        assert!(admitted(&pacing).is_empty());
    }

    #[test]
    fn a_turn_that_kept_nobody_waiting_leaves_nothing_to_the_next() {
        let pacing = Pacing::<u32>::default();
        pacing.spend(READS * READ);
        pacing.line_up(1);
        pacing.end();
        assert!(pacing.is_spent(), "somebody waits");
        admitted(&pacing);
        pacing.spend(READS * READ);
        pacing.end();
        assert!(!pacing.is_spent());
    }

    #[test]
    fn many_have_their_turns_one_after_the_other() {
        let pacing = Pacing::default();
        (0..10).for_each(|who| pacing.line_up(who));
        let mut order = Vec::new();
        for _ in 0..5 {
            let turn = admitted(&pacing);
            assert!(turn.len() * pacing.share() <= READS);
            turn.iter().for_each(|who| pacing.line_up(*who));
            order.extend(turn);
        }
        assert!(order.iter().copied().eq((0..10).chain(0..10)));
    }
}
