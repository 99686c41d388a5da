//! How long a peer has to read our last words once all is said.

use std::time::Duration;

use crate::model::Time;

/// For a peer that owes nothing.
const SHORT: Duration = Duration::from_secs(1);

/// For a client in the midst of a request that was answered before it was whole: it may read only
/// when it has sent it all, and what it sends to a closed connection would take our words from it.
/// So long since it last sent something,
const QUIET: Duration = Duration::from_secs(5);

/// and so long in all.
const LONGEST: Duration = Duration::from_secs(30);

/// Until when what still comes is read and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linger {
    until: Time,
    latest: Time,
}

impl Linger {
    /// Begins; `cut_short` if the peer is in the midst of a request.
    pub fn new(now: Time, cut_short: bool) -> Linger {
        let (quiet, longest) = if cut_short { (QUIET, LONGEST) } else { (SHORT, SHORT) };
        Linger { until: now + quiet, latest: now + longest }
    }

    /// The peer is still sending.
    pub fn heard(&mut self, now: Time) {
        self.until = (now + QUIET).min(self.latest);
    }

    /// Until when the peer has its time.
    pub fn until(&self) -> Time {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn who_owes_nothing_has_a_second_whatever_it_sends() {
        let mut linger = Linger::new(at(0), false);
        for ms in (0..1000).step_by(100) {
            linger.heard(at(ms));
            assert_eq!(linger.until(), at(1_000));
        }
    }

    #[test]
    fn who_is_still_sending_has_as_long_as_it_sends() {
        let mut linger = Linger::new(at(0), true);
        for ms in (0..30_000).step_by(4_500) {
            assert!(at(ms) < linger.until(), "{ms}");
            linger.heard(at(ms));
        }
        assert_eq!(linger.until(), at(30_000), "not for ever");
        let mut linger = Linger::new(at(0), true);
        linger.heard(at(1_000));
        assert_eq!(linger.until(), at(6_000), "nor when it sends nothing");
    }
}
