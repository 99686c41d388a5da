//! A connection's place in the turns of its worker.

use std::rc::Rc;

use super::super::worker::pacing::{LITTLE, READ, READS};
use super::Conn;

/// How a connection stands to the turns of its worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::net) enum Pace {
    /// Its peer has little to say.
    #[default]
    Little,
    /// Its last read brought much, and there may be more.
    Much,
    /// It has lined up for a turn.
    Waits,
    /// Its turn has come.
    Admitted,
}

impl Conn {
    /// How much it may read now, having read so many times in a row; nothing when it has lined up.
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

    /// Notes that so many bytes were read.
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
