//! What has ended in an interval, from which the limit of calls is learnt.

/// Classes of calls in flight: two for each doubling.
pub const CLASSES: usize = 48;

/// Calls of an interval that are too few to tell.
const FEW: u64 = 20;

/// After this long even few calls count.
const LONG: f64 = 1.0;

/// What has ended in some time.
#[derive(Clone, Debug)]
pub struct Seen {
    /// By the class of calls in flight when they began.
    pub classes: [Ended; CLASSES],
    /// Calls that their callers gave up, or whose time was over.
    pub expired: u64,
    /// Calls in flight now.
    pub in_flight: u32,
    /// Whether others waited for a permit.
    pub full: bool,
}

/// Calls that have ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    /// How many.
    pub calls: u64,
    /// How long they took, together, in seconds.
    pub held: f64,
    /// What their methods' references are, together, in seconds.
    pub reference: f64,
}

/// The class of a call that began with so many in flight, itself included.
pub fn class_of(in_flight: u32) -> usize {
    let in_flight = u128::from(in_flight.max(1));
    let doublings = in_flight.ilog2();
    let half = u32::from(in_flight * in_flight >= 1 << (2 * doublings + 1));
    ((2 * doublings + half) as usize).min(CLASSES - 3)
}

impl Default for Seen {
    fn default() -> Seen {
        Seen { classes: [Ended::default(); CLASSES], expired: 0, in_flight: 0, full: false }
    }
}

impl Seen {
    /// Calls that have ended, but for those given up.
    pub fn calls(&self) -> u64 {
        self.classes.iter().map(|class| class.calls).sum()
    }

    /// Whether it is enough to tell something.
    pub fn suffices(&self, seconds: f64) -> bool {
        self.calls() + self.expired >= FEW || seconds >= LONG
    }
}
