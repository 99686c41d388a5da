//! What the connections of a worker may read before everybody has had a turn.
//!
//! A turn lasts from one look at the sockets to the next. It is bounded in bytes over all
//! connections: who has more to say than the turn has room for lines up, and while they wait the
//! sockets are looked at again. Whoever has little to say is heard before them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;

/// One read at most.
pub const READ: usize = 64 << 10;

/// Reads of a turn: what is read in it is the work of some tenths of a millisecond.
pub const READS: usize = 4;

/// What may be read in a turn that has no room left by a connection that is not known to have much.
pub const LITTLE: usize = 16 << 10;

/// A worker's turns, and who waits for the next one.
#[derive(Debug)]
pub struct Pacing<T> {
    left: Cell<usize>,
    /// Reads in a row of one connection.
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
    /// So many bytes were read.
    pub fn spend(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_sub(bytes));
    }

    /// Whether this turn has no room left.
    pub fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    /// How many times in a row one connection may read.
    pub fn share(&self) -> usize {
        self.share.get()
    }

    /// `who` waits for a turn, behind those who do so already.
    pub fn line_up(&self, who: T) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back(who);
        if waiting.len() == 1 {
            self.somebody.notify_one();
        }
    }

    /// Ends when somebody has lined up and everybody else has had a turn.
    pub async fn next(&self) {
        while self.waiting.borrow().is_empty() {
            self.somebody.notified().await;
        }
        // It goes on when nobody has anything left to do, and the sockets were looked at.
        tokio::task::yield_now().await;
    }

    /// Ends a turn in which everybody has read all that there was: the next has room again.
    pub fn end(&self) {
        if self.waiting.borrow().is_empty() {
            self.left.set(READS * READ);
        }
    }

    /// Begins a turn with those who have waited longest.
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
