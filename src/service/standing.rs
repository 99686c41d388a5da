//! Whether a backend gets requests, with which weight, and why: decided here alone.

use std::time::Duration;

use super::membership::Wanted;
use crate::model::{Endpoint, Time};

/// How a backend stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The weight that requests are balanced by; 0 takes no new ones.
    pub weight: u32,
    /// Whether it gets requests, and if not, why.
    pub state: BackendState,
    /// What makes it so.
    pub reason: Reason,
}

/// Whether a backend gets requests, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    /// It gets requests according to its weight: a connection is established, or the last one has
    /// ended in good order a moment ago.
    Ready,
    /// An operator took it out, or it was removed: it gets no new requests.
    Draining,
    /// No connection to it is established: one is being made, or the last attempt has failed.
    Connecting,
    /// Nobody knows: no connection to it is established, and none has been asked for of late.
    Idle,
}

/// What a backend's state comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was removed, and has requests in flight.
    Removed,
    /// An operator drained it.
    Drained,
    /// A connection is established.
    Connected,
    /// The last connection has ended in good order a moment ago.
    Closed,
    /// The last attempt to connect has failed.
    Unreachable,
    /// A connection is being made.
    Connecting,
    /// No connection has been asked for of late.
    Unused,
}

impl Reason {
    /// The name, as the API has it.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Removed => "removed",
            Reason::Drained => "drained",
            Reason::Connected => "connected",
            Reason::Closed => "closed",
            Reason::Unreachable => "unreachable",
            Reason::Connecting => "connecting",
            Reason::Unused => "unused",
        }
    }
}

/// What is known of the way to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A connection is established.
    Connected,
    /// The last one has ended in good order a moment ago.
    Closed,
    /// The last attempt to connect has failed.
    Unreachable,
    /// A connection is being made.
    Connecting,
    /// Nothing.
    Unknown,
}

/// What is known of a backend to which a connection has ended in good order holds for so long:
/// longer than the pause before it is made again.
const MOMENT: Duration = Duration::from_secs(15);

impl Reach {
    /// What is known of the way to `endpoint` at this moment.
    pub fn of(endpoint: &Endpoint, now: Time) -> Reach {
        let closed = || endpoint.left().is_some_and(|at| now.since(at) < MOMENT);
        if endpoint.connected() > 0 {
            Reach::Connected
        } else if endpoint.outage().lasts() {
            Reach::Unreachable
        } else if closed() {
            Reach::Closed
        } else if endpoint.connecting() > 0 {
            Reach::Connecting
        } else {
            Reach::Unknown
        }
    }
}

/// How a backend stands of which this is wanted and known. One that is `leaving` was removed, and
/// only finishes what is in flight.
///
/// Whatever else is to decide on weight and state becomes an argument of this function, and has no
/// say anywhere else.
pub fn standing(wanted: Wanted, leaving: bool, reach: Reach) -> Standing {
    let out = |reason| Standing { weight: 0, state: BackendState::Draining, reason };
    if leaving {
        return out(Reason::Removed);
    }
    if wanted.drained {
        return out(Reason::Drained);
    }
    let (state, reason) = match reach {
        Reach::Connected => (BackendState::Ready, Reason::Connected),
        Reach::Closed => (BackendState::Ready, Reason::Closed),
        Reach::Unreachable => (BackendState::Connecting, Reason::Unreachable),
        Reach::Connecting => (BackendState::Connecting, Reason::Connecting),
        Reach::Unknown => (BackendState::Idle, Reason::Unused),
    };
    Standing { weight: wanted.weight, state, reason }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn every_case() {
        use BackendState::{Connecting, Draining, Idle, Ready};
        let by_reach = [
            (Reach::Connected, Ready, Reason::Connected),
            (Reach::Closed, Ready, Reason::Closed),
            (Reach::Unreachable, Connecting, Reason::Unreachable),
            (Reach::Connecting, Connecting, Reason::Connecting),
            (Reach::Unknown, Idle, Reason::Unused),
        ];
        for (reach, state, reason) in by_reach {
            for weight in [0, 1, 1000] {
                for (drained, leaving) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    let expected = match (drained, leaving) {
                        (_, true) => (0, Draining, Reason::Removed),
                        (true, false) => (0, Draining, Reason::Drained),
                        (false, false) => (weight, state, reason),
                    };
                    let Standing { weight, state, reason } =
                        standing(Wanted { weight, drained }, leaving, reach);
                    assert_eq!((weight, state, reason), expected, "{reach:?}");
                }
            }
        }
    }

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
        endpoint.outage().begin(7, Time::from_millis(2000));
        assert_eq!(at(2), Reach::Unreachable, "but it does not");
        endpoint.outage().end();
        assert_eq!(at(16), Reach::Connecting);
    }
}
