//! What is known of the way to an endpoint, and since when.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::endpoint::Endpoint;
use super::time::Time;

/// What is known of the way to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A connection is established.
    Connected,
    /// The last one has ended in good order a moment ago.
    Closed,
    /// A connection is being made.
    Connecting,
    /// Nothing.
    Unknown,
}

/// What is known of an endpoint to which a connection has ended in good order holds for so long:
/// longer than the pause before it is made again.
const MOMENT: Duration = Duration::from_secs(15);

impl Reach {
    /// What is known of the way to `endpoint` at this moment.
    pub fn of(endpoint: &Endpoint, now: Time) -> Reach {
        let closed = || endpoint.left().is_some_and(|at| now.since(at) < MOMENT);
        if endpoint.connected() > 0 {
            Reach::Connected
        } else if closed() {
            Reach::Closed
        } else if endpoint.connecting() > 0 {
            Reach::Connecting
        } else {
            Reach::Unknown
        }
    }
}

/// A way that has been open, is being opened, or is unknown since some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// What is known of it.
    pub reach: Reach,
    /// Since when it is open, being opened, or unknown.
    pub since: Time,
}

/// Tells these three apart.
const PHASE: u64 = 0b11;

impl Reach {
    fn phase(self) -> u64 {
        match self {
            Reach::Connected | Reach::Closed => 1,
            Reach::Connecting => 2,
            Reach::Unknown => 0,
        }
    }
}

/// Since when a way is as it is: nanoseconds, with the phase in the lowest bits.
#[derive(Debug)]
pub(super) struct WayClock(AtomicU64);

impl WayClock {
    /// Nothing is known since `now`.
    pub(super) fn new(now: Time) -> WayClock {
        WayClock(AtomicU64::new(now.as_nanos() & !PHASE))
    }
}

impl Endpoint {
    /// What is known of the way to it, and since when.
    pub fn way(&self, now: Time) -> Way {
        let (reach, word) = (Reach::of(self, now), self.way_clock().0.load(Relaxed));
        let since = match word & PHASE == reach.phase() {
            true => Time::from_nanos(word & !PHASE),
            // That it is too long ago that a connection has ended is no event.
            false => self.left().map_or(now, |at| (at + MOMENT).min(now)),
        };
        Way { reach, since }
    }

    /// Notes that connections, or attempts at one, have begun or ended.
    pub fn note_way(&self, now: Time) {
        let phase = Reach::of(self, now).phase();
        let step = |word| (word & PHASE != phase).then_some(now.as_nanos() & !PHASE | phase);
        let _ = self.way_clock().0.fetch_update(Relaxed, Relaxed, step); // no change is no failure
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_known_of_the_way_is_what_was_seen_last() {
        let endpoint = Arc::new(Endpoint::new("a:1", 1, Time::ZERO));
        let at = |seconds: u64| Reach::of(&endpoint, Time::from_millis(seconds * 1000));
        assert_eq!(at(0), Reach::Unknown);
        let connecting = endpoint.count_connecting();
        assert_eq!(at(0), Reach::Connecting);
        let connected = endpoint.count_connected();
        drop(connecting);
        assert_eq!(at(0), Reach::Connected);

        drop(connected);
        assert_eq!(at(1), Reach::Unknown, "it broke off");
        endpoint.note_left(Time::from_millis(1000));
        assert_eq!(at(15), Reach::Closed, "it left in good order");
        let _connecting = endpoint.count_connecting();
        assert_eq!(at(15), Reach::Closed, "and comes again");
        assert_eq!(at(16), Reach::Connecting);
    }

    #[test]
    fn it_is_known_since_when() {
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        let endpoint = Arc::new(Endpoint::new("a:1", 1, at(1)));
        let since = |seconds: u64| endpoint.way(at(seconds)).since.as_secs();
        assert_eq!(since(2), 1);
        let connecting = endpoint.count_connecting();
        endpoint.note_way(at(3));
        assert_eq!(since(4), 3);
        let connected = endpoint.count_connected();
        endpoint.note_way(at(5));
        drop(connecting);
        endpoint.note_way(at(6));
        assert_eq!((since(6), endpoint.way(at(6)).reach), (5, Reach::Connected));
        drop(connected);
        endpoint.note_left(at(100));
        endpoint.note_way(at(100));
        assert_eq!(
            (since(114), endpoint.way(at(114)).reach),
            (5, Reach::Closed),
            "READY all the time"
        );
        assert_eq!((since(200), endpoint.way(at(200)).reach), (115, Reach::Unknown));
        let _connecting = endpoint.count_connecting();
        endpoint.note_way(at(300));
        assert_eq!(since(301), 300);
    }
}
