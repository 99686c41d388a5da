//! Fair scheduling of reads: how much a connection may read before others have their turn.

use std::rc::Rc;

use super::super::worker::read_scheduler::{MAX_READ, READS_PER_TURN, SMALL_READ};
use super::Conn;

/// Scheduling state of a connection's reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::net) enum ReadTurn {
    /// Its last read was small.
    #[default]
    Small,
    /// Its last read was large, and there may be more.
    Large,
    /// It is queued for the next turn.
    Queued,
    /// It may read in this turn.
    Admitted,
}

impl Conn {
    /// How many bytes it may read now, after `reads` reads in a row; `None` once it is queued.
    pub(super) fn may_read(self: &Rc<Self>, reads: usize) -> Option<usize> {
        let read_scheduler = &self.worker.read_scheduler;
        let (spent, large) = (read_scheduler.is_spent(), self.read_turn.get() == ReadTurn::Large);
        match self.read_turn.get() {
            ReadTurn::Queued => None,
            ReadTurn::Admitted => Some(MAX_READ),
            _ if reads >= READS_PER_TURN
                || (large && (spent || reads >= read_scheduler.max_consecutive())) =>
            {
                self.read_turn.set(ReadTurn::Queued);
                read_scheduler.enqueue(Rc::clone(self));
                None
            }
            _ => Some(if spent { SMALL_READ } else { MAX_READ }),
        }
    }

    /// Charges the read to this turn's budget.
    pub(super) fn has_read(&self, bytes: usize) {
        self.worker.read_scheduler.spend(bytes);
        self.read_turn.set(if bytes < SMALL_READ { ReadTurn::Small } else { ReadTurn::Large });
    }

    /// It may read in this turn.
    pub(in crate::net) fn admit(&self) {
        self.read_turn.set(ReadTurn::Admitted);
        self.wake();
    }
}
