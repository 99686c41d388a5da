//! Connectivity state of an endpoint, and since when it holds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::endpoint::Endpoint;
use super::time::Time;

/// Whether connections to an endpoint are established.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectivityState {
    /// A connection is established.
    Connected,
    /// The last one was closed gracefully a moment ago.
    RecentlyClosed,
    /// A connection is being established.
    Connecting,
    /// There is no connection or attempt at one, and there was none recently.
    Unknown,
}

/// How long a graceful close counts as recent: longer than the pause before it reconnects.
const RECENT_CLOSE: Duration = Duration::from_secs(15);

impl ConnectivityState {
    /// The state of `endpoint` at `now`.
    pub fn of(endpoint: &Endpoint, now: Time) -> ConnectivityState {
        let closed = || endpoint.left().is_some_and(|at| now.since(at) < RECENT_CLOSE);
        if endpoint.connected() > 0 {
            ConnectivityState::Connected
        } else if closed() {
            ConnectivityState::RecentlyClosed
        } else if endpoint.connecting() > 0 {
            ConnectivityState::Connecting
        } else {
            ConnectivityState::Unknown
        }
    }
}

/// A connectivity state and its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connectivity {
    /// The state.
    pub state: ConnectivityState,
    /// Since when. `Connected` and `RecentlyClosed` count as one, as a reconnect follows.
    pub since: Time,
}

/// Mask of the bits that hold the phase.
const PHASE_MASK: u64 = 0b11;

impl ConnectivityState {
    fn phase(self) -> u64 {
        match self {
            ConnectivityState::Connected | ConnectivityState::RecentlyClosed => 1,
            ConnectivityState::Connecting => 2,
            ConnectivityState::Unknown => 0,
        }
    }
}

/// When the phase last changed, in nanoseconds, with the phase in the lowest bits.
#[derive(Debug)]
pub(super) struct ConnectivityClock(AtomicU64);

impl ConnectivityClock {
    /// `Unknown` since `now`.
    pub(super) fn new(now: Time) -> ConnectivityClock {
        ConnectivityClock(AtomicU64::new(now.as_nanos() & !PHASE_MASK))
    }
}

impl Endpoint {
    /// Its connectivity at `now`.
    pub fn connectivity(&self, now: Time) -> Connectivity {
        let (state, word) =
            (ConnectivityState::of(self, now), self.connectivity_clock().0.load(Relaxed));
        let since = match word & PHASE_MASK == state.phase() {
            true => Time::from_nanos(word & !PHASE_MASK),
            // Nothing is recorded when a graceful close ceases to be recent.
            false => self.left().map_or(now, |at| (at + RECENT_CLOSE).min(now)),
        };
        Connectivity { state, since }
    }

    /// To be called whenever a connection, or an attempt at one, has begun or ended.
    pub fn note_connectivity(&self, now: Time) {
        let phase = ConnectivityState::of(self, now).phase();
        let step =
            |word| (word & PHASE_MASK != phase).then_some(now.as_nanos() & !PHASE_MASK | phase);
        // An error means that nothing has changed.
        let _ = self.connectivity_clock().0.fetch_update(Relaxed, Relaxed, step);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_phase_dates_from_its_last_change() {
        let endpoint = Arc::new(Endpoint::new("a:1", 1, Time::ZERO));
        let at = |seconds: u64| ConnectivityState::of(&endpoint, Time::from_millis(seconds * 1000));
        assert_eq!(at(0), ConnectivityState::Unknown);
        let connecting = endpoint.count_connecting();
        assert_eq!(at(0), ConnectivityState::Connecting);
        let connected = endpoint.count_connected();
        drop(connecting);
        assert_eq!(at(0), ConnectivityState::Connected);

        drop(connected);
        assert_eq!(at(1), ConnectivityState::Unknown, "it broke off");
        endpoint.note_left(Time::from_millis(1000));
        assert_eq!(at(15), ConnectivityState::RecentlyClosed, "it left in good order");
        let _connecting = endpoint.count_connecting();
        assert_eq!(at(15), ConnectivityState::RecentlyClosed, "and comes again");
        assert_eq!(at(16), ConnectivityState::Connecting);
    }

    #[test]
    fn it_is_known_since_when() {
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        let endpoint = Arc::new(Endpoint::new("a:1", 1, at(1)));
        let since = |seconds: u64| endpoint.connectivity(at(seconds)).since.as_secs();
        assert_eq!(since(2), 1);
        let connecting = endpoint.count_connecting();
        endpoint.note_connectivity(at(3));
        assert_eq!(since(4), 3);
        let connected = endpoint.count_connected();
        endpoint.note_connectivity(at(5));
        drop(connecting);
        endpoint.note_connectivity(at(6));
        assert_eq!(
            (since(6), endpoint.connectivity(at(6)).state),
            (5, ConnectivityState::Connected)
        );
        drop(connected);
        endpoint.note_left(at(100));
        endpoint.note_connectivity(at(100));
        assert_eq!(
            (since(114), endpoint.connectivity(at(114)).state),
            (5, ConnectivityState::RecentlyClosed),
            "READY all the time"
        );
        assert_eq!(
            (since(200), endpoint.connectivity(at(200)).state),
            (115, ConnectivityState::Unknown)
        );
        let _connecting = endpoint.count_connecting();
        endpoint.note_connectivity(at(300));
        assert_eq!(since(301), 300);
    }
}
