//! Fair scheduling of reads: a connection's share of its worker's turns.

use std::rc::Rc;

use super::super::worker::pacing::{LITTLE, READ, READS};
use super::Conn;

/// Scheduling state of a connection's reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::net) enum Pace {
    /// Its last read was small.
    #[default]
    Little,
    /// Its last read was large, and there may be more.
    Much,
    /// It is queued for the next turn.
    Waits,
    /// Its turn has come.
    Admitted,
}

impl Conn {
    /// How many bytes it may read now, after `reads` reads in a row; `None` once it is queued.
    pub(super) fn may_read(self: &Rc<Self>, reads: usize) -> Option<usize> {
        let pacing = &self.worker.pacing;
        let (spent, much) = (pacing.is_spent(), self.pace.get() == Pace::Much);
        match self.pace.get() {
            Pace::Waits => None,
            Pace::Admitted => Some(READ),
            _ if reads >= READS || (much && (spent || reads >= pacing.share())) => {
                self.pace.set(Pace::Waits);
                pacing.line_up(Rc::clone(self));
                None
            }
            _ => Some(if spent { LITTLE } else { READ }),
        }
    }

    /// Charges the read to this turn's budget.
    pub(super) fn has_read(&self, bytes: usize) {
        self.worker.pacing.spend(bytes);
        self.pace.set(if bytes < LITTLE { Pace::Little } else { Pace::Much });
    }

    /// Its turn has come.
    pub(in crate::net) fn admit(&self) {
        self.pace.set(Pace::Admitted);
        self.wake();
    }
}
