//! What the control API has refused, counted by reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a caller of the control API was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRefusal {
    /// It has not proved who it is: no token or certificate, a wrong one, or one that has expired.
    Unauthenticated,
    /// It may not do this.
    Denied,
    /// It has as many calls open as one identity may.
    Calls,
    /// It makes more calls a second than one identity may.
    Rate,
    /// It has as many streams open as one identity may, or all have.
    Streams,
    /// Its TLS handshake failed, took too long, or had to make room for another.
    Handshake,
    /// It came by the Unix socket as another user.
    User,
    /// It is the gateway itself: a route leads to the socket.
    Own,
}

impl ControlRefusal {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [ControlRefusal; 8] = [
        ControlRefusal::Unauthenticated,
        ControlRefusal::Denied,
        ControlRefusal::Calls,
        ControlRefusal::Rate,
        ControlRefusal::Streams,
        ControlRefusal::Handshake,
        ControlRefusal::User,
        ControlRefusal::Own,
    ];

    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            ControlRefusal::Unauthenticated => "unauthenticated",
            ControlRefusal::Denied => "denied",
            ControlRefusal::Calls => "calls",
            ControlRefusal::Rate => "rate",
            ControlRefusal::Streams => "streams",
            ControlRefusal::Handshake => "handshake",
            ControlRefusal::User => "user",
            ControlRefusal::Own => "own",
        }
    }
}

/// Counters of what was refused.
#[derive(Debug, Default)]
pub struct ControlRefusals([AtomicU64; ControlRefusal::ALL.len()]);

impl ControlRefusals {
    /// Counts one.
    pub fn count(&self, why: ControlRefusal) {
        self.0[why as usize].fetch_add(1, Relaxed);
    }

    /// The counts, by reason.
    pub fn totals(&self) -> [(&'static str, u64); ControlRefusal::ALL.len()] {
        ControlRefusal::ALL.map(|why| (why.name(), self.0[why as usize].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_count() {
        let refusals = ControlRefusals::default();
        for (number, why) in ControlRefusal::ALL.into_iter().enumerate() {
            (0..=number).for_each(|_| refusals.count(why));
        }
        assert_eq!(refusals.totals().map(|(_, count)| count), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
