//! Lingering close: how long input is still read and dropped after the last output, so that a TCP
//! RST does not destroy it.

use std::time::Duration;

use crate::model::Time;

/// For a peer that has no request in progress.
const IDLE_LINGER: Duration = Duration::from_secs(1);

/// For a client that was answered before the end of its request: it may read only once it has sent
/// everything, and data sent to a closed connection provokes a RST. Time since its last byte.
const INPUT_TIMEOUT: Duration = Duration::from_secs(5);

/// The same, in total.
const MAX_LINGER: Duration = Duration::from_secs(30);

/// The deadline of a lingering close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linger {
    until: Time,
    latest: Time,
}

impl Linger {
    /// Starts the lingering close; `cut_short` if the peer is in the middle of a request.
    pub fn new(now: Time, cut_short: bool) -> Linger {
        let (quiet, longest) =
            if cut_short { (INPUT_TIMEOUT, MAX_LINGER) } else { (IDLE_LINGER, IDLE_LINGER) };
        Linger { until: now + quiet, latest: now + longest }
    }

    /// Records input, which extends the deadline.
    pub fn note_input(&mut self, now: Time) {
        self.until = (now + INPUT_TIMEOUT).min(self.latest);
    }

    /// The deadline.
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
    fn a_peer_without_a_request_lingers_for_a_second() {
        let mut linger = Linger::new(at(0), false);
        for ms in (0..1000).step_by(100) {
            linger.note_input(at(ms));
            assert_eq!(linger.until(), at(1_000));
        }
    }

    #[test]
    fn a_sending_client_extends_the_linger() {
        let mut linger = Linger::new(at(0), true);
        for ms in (0..30_000).step_by(4_500) {
            assert!(at(ms) < linger.until(), "{ms}");
            linger.note_input(at(ms));
        }
        assert_eq!(linger.until(), at(30_000), "not for ever");
        let mut linger = Linger::new(at(0), true);
        linger.note_input(at(1_000));
        assert_eq!(linger.until(), at(6_000), "nor when it sends nothing");
    }
}
