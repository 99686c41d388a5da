//! Connection selection within the reset budget: which connection gets the next stream, and when
//! another may be opened.
//!
//! Backends count RST_STREAMs on a connection and close it beyond a limit ([`MAX_RESETS`]). So
//! that every open stream can be cancelled at any time, a connection gets a stream only while its
//! open streams plus its resets of the last 30 s are below that. One excluded by its resets alone
//! is *resting*: extra connections replace resting ones, at most as many as the connection limit.
//! When all of these rest too, an idle resting one is replaced by a fresh one.
//!
//! If that is impossible, or connecting fails, requests are served rather than refused: on the
//! connection with the smallest burden, where some cancellations are delayed. Heavy cancellers wait
//! instead, and may use only a part of each connection's budget in the first place.

use std::rc::Rc;
use std::time::Duration;

use super::Pool;
use crate::net::{Conn, MAX_RESETS, StreamCapacity};

/// How long a request waits for a new connection while existing ones could take it.
pub const CONNECT_WAIT: Duration = Duration::from_millis(250);

/// Cancellations of one client in 30 s above which it counts as a heavy canceller.
const HEAVY_CANCELLER: usize = MAX_RESETS / 2;

/// Part of the reset budget reserved from heavy cancellers.
const RESERVED_RESETS: usize = 40;

/// Delayed RST_STREAMs on one connection above which it gets no more streams.
const MAX_DELAYED_RESETS: usize = 64;

/// The share of the reset budget that a request may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Full,
    /// For heavy cancellers, and for requests without a client.
    Reduced,
}

impl Share {
    pub fn of(client: Option<&Conn>) -> Share {
        match client {
            Some(client) if client.cancelled_requests() <= HEAVY_CANCELLER => Share::Full,
            _ => Share::Reduced,
        }
    }

    const fn limit(self) -> usize {
        match self {
            Share::Full => MAX_RESETS,
            Share::Reduced => MAX_RESETS - RESERVED_RESETS,
        }
    }

    /// Whether one more stream fits, even if all open ones are cancelled.
    fn fits(self, capacity: &StreamCapacity) -> bool {
        capacity.available > 0 && capacity.burden() < self.limit()
    }

    /// Whether only its resets keep it from fitting.
    fn is_resting(self, capacity: &StreamCapacity) -> bool {
        capacity.open < self.limit() && capacity.burden() >= self.limit()
    }
}

impl Pool {
    /// A free connection (HTTP/1.1).
    pub(super) fn first_free(&self) -> Option<Rc<Conn>> {
        let conns = self.conns.borrow();
        conns.iter().find(|conn| conn.available() > 0).map(Rc::clone)
    }

    /// The connection with the fewest open streams that fits; or, if there will be no better one,
    /// the least burdened.
    pub(super) fn select(&self, share: Share) -> Option<Rc<Conn>> {
        let best = self.min_by_rank(|_, capacity| share.fits(capacity).then_some(capacity.open));
        if best.is_some() {
            return best;
        }
        self.replace_resting(share);
        self.connect_more(share);
        if self.is_connection_coming() {
            return None;
        }
        self.min_by_rank(|conn, capacity| {
            let acceptable = match share {
                Share::Full => conn.delayed_resets() < MAX_DELAYED_RESETS,
                Share::Reduced => capacity.resets < share.limit(),
            };
            (capacity.available > 0 && acceptable).then_some(capacity.burden())
        })
    }

    /// The connection with the lowest rank, of those that have one.
    fn min_by_rank(
        &self,
        rank: impl Fn(&Conn, &StreamCapacity) -> Option<usize>,
    ) -> Option<Rc<Conn>> {
        let conns = self.conns.borrow();
        let ranked =
            conns.iter().filter_map(|conn| Some((rank(conn, &conn.stream_capacity()?)?, conn)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, conn)| Rc::clone(conn))
    }

    /// Whether any connection fits one more stream.
    pub(super) fn has_capacity(&self, share: Share) -> bool {
        let conns = self.conns.borrow();
        conns.iter().filter_map(|conn| conn.stream_capacity()).any(|capacity| share.fits(&capacity))
    }

    /// Whether the connection limit is reached, resting ones counted apart.
    pub(super) fn is_full(&self, share: Share) -> bool {
        let limit = self.settings.max_connections;
        let conns = self.conns.borrow();
        let (mut all, mut resting) = (self.connecting.get(), 0);
        for capacity in conns.iter().filter_map(|conn| conn.stream_capacity()) {
            all += 1;
            resting += usize::from(share.is_resting(&capacity));
        }
        all - resting.min(limit) >= limit
    }

    /// Whether a connection with capacity is about to be ready.
    fn is_connection_coming(&self) -> bool {
        let since = self.worker.now().since(self.connecting_since.get());
        self.connecting.get() > 0 && self.failures.get() == 0 && since < CONNECT_WAIT
    }

    /// Replaces an idle resting connection if the limit is reached.
    fn replace_resting(&self, share: Share) {
        if self.connecting.get() > 0 || !self.is_full(share) {
            return;
        }
        let idle = self.min_by_rank(|_, capacity| {
            (share.is_resting(capacity) && capacity.open == 0).then_some(0)
        });
        if let Some(conn) = idle {
            self.replace(&conn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(open: usize, resets: usize) -> StreamCapacity {
        StreamCapacity { available: 1000, open, resets }
    }

    #[test]
    fn all_open_streams_can_be_cancelled() {
        let (whole, reduced) = (Share::Full, Share::Reduced);
        // Open streams, resets; fits for the full and the reduced share; rests for each.
        let cases = [
            (0, 0, [true, true], [false, false]),
            (0, 149, [true, true], [false, false]),
            (1, 149, [true, false], [false, true]),
            (0, 189, [true, false], [false, true]),
            (0, 190, [false, false], [true, true]),
            (100, 90, [false, false], [true, true]),
            (189, 1, [false, false], [true, false]),
            (190, 0, [false, false], [false, false]),
            (1000, 100, [false, false], [false, false]),
        ];
        for (open, resets, fits, is_resting) in cases {
            let capacity = capacity(open, resets);
            assert_eq!([whole, reduced].map(|share| share.fits(&capacity)), fits, "{capacity:?}");
            assert_eq!(
                [whole, reduced].map(|share| share.is_resting(&capacity)),
                is_resting,
                "{capacity:?}"
            );
        }
        assert!(
            !whole.fits(&StreamCapacity { available: 0, ..capacity(0, 0) }),
            "the peer has a say too"
        );
    }
}
