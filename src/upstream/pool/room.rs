//! Connection selection within the reset budget: which connection gets the next stream, and when
//! another may be opened.
//!
//! Backends count RST_STREAMs on a connection and close it beyond a limit ([`MOST_RESETS`]). So
//! that every open stream can be cancelled at any time, a connection gets a stream only while its
//! open streams plus its resets of the last 30 s are below that. One kept back by its resets alone
//! is *resting*: extra connections replace resting ones, at most as many as the connection limit.
//! When all of these rest too, an idle resting one is replaced by a fresh one.
//!
//! If that is impossible, or connecting fails, requests are served rather than refused, on the
//! connection with the smallest burden, and some cancellations are delayed. Clients that cancel
//! most wait instead, and before that leave a part of each connection's budget to others.

use std::rc::Rc;
use std::time::Duration;

use super::Pool;
use crate::net::{Conn, MOST_RESETS, Room};

/// How long a request waits for a new connection while existing ones could bear it.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// Cancellations of one client in 30 s above which it counts as a heavy canceller.
const MUCH: usize = MOST_RESETS / 2;

/// Part of the reset budget reserved from heavy cancellers.
const LEFT: usize = 40;

/// Delayed RST_STREAMs on one connection above which it gets no more streams.
const MOST_ABANDONED: usize = 64;

/// The share of the reset budget that a request may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Whole,
    /// For heavy cancellers, and for requests without a client.
    Reduced,
}

impl Share {
    pub fn of(client: Option<&Conn>) -> Share {
        match client {
            Some(client) if client.given_up() <= MUCH => Share::Whole,
            _ => Share::Reduced,
        }
    }

    const fn most(self) -> usize {
        match self {
            Share::Whole => MOST_RESETS,
            Share::Reduced => MOST_RESETS - LEFT,
        }
    }

    /// Whether one more stream fits, even if all open ones are cancelled.
    fn fits(self, room: &Room) -> bool {
        room.available > 0 && room.burden() < self.most()
    }

    /// Whether only its resets keep it from fitting.
    fn rests(self, room: &Room) -> bool {
        room.open < self.most() && room.burden() >= self.most()
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
    pub(super) fn with_room(&self, share: Share) -> Option<Rc<Conn>> {
        let best = self.least(|_, room| share.fits(room).then_some(room.open));
        if best.is_some() {
            return best;
        }
        self.renew_resting(share);
        self.connect_more(share);
        if self.is_being_helped() {
            return None;
        }
        self.least(|conn, room| {
            let bearable = match share {
                Share::Whole => conn.abandoned() < MOST_ABANDONED,
                Share::Reduced => room.resets < share.most(),
            };
            (room.available > 0 && bearable).then_some(room.burden())
        })
    }

    /// The connection with the lowest rank, of those that have one.
    fn least(&self, rank: impl Fn(&Conn, &Room) -> Option<usize>) -> Option<Rc<Conn>> {
        let conns = self.conns.borrow();
        let ranked = conns.iter().filter_map(|conn| Some((rank(conn, &conn.room()?)?, conn)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, conn)| Rc::clone(conn))
    }

    /// Whether any connection fits one more stream.
    pub(super) fn has_room(&self, share: Share) -> bool {
        let conns = self.conns.borrow();
        conns.iter().filter_map(|conn| conn.room()).any(|room| share.fits(&room))
    }

    /// Whether the connection limit is reached, resting ones counted apart.
    pub(super) fn is_full(&self, share: Share) -> bool {
        let most = self.settings.max_connections;
        let conns = self.conns.borrow();
        let (mut all, mut resting) = (self.connecting.get(), 0);
        for room in conns.iter().filter_map(|conn| conn.room()) {
            all += 1;
            resting += usize::from(share.rests(&room));
        }
        all - resting.min(most) >= most
    }

    /// Whether a connection with capacity is about to be ready.
    fn is_being_helped(&self) -> bool {
        let since = self.worker.now().since(self.connecting_since.get());
        self.connecting.get() > 0 && self.failures.get() == 0 && since < PATIENCE
    }

    /// Replaces an idle resting connection if the limit is reached.
    fn renew_resting(&self, share: Share) {
        if self.connecting.get() > 0 || !self.is_full(share) {
            return;
        }
        let idle = self.least(|_, room| (share.rests(room) && room.open == 0).then_some(0));
        if let Some(conn) = idle {
            self.replace(&conn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(open: usize, resets: usize) -> Room {
        Room { available: 1000, open, resets }
    }

    #[test]
    fn what_is_open_can_be_given_up() {
        let (whole, reduced) = (Share::Whole, Share::Reduced);
        // Open, resets; fits for the whole and the reduced share; rests for them.
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
        for (open, resets, fits, rests) in cases {
            let room = room(open, resets);
            assert_eq!([whole, reduced].map(|share| share.fits(&room)), fits, "{room:?}");
            assert_eq!([whole, reduced].map(|share| share.rests(&room)), rests, "{room:?}");
        }
        assert!(!whole.fits(&Room { available: 0, ..room(0, 0) }), "the peer has a say too");
    }
}
